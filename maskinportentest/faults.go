package maskinportentest

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Fault is something other than what Maskinporten should answer. Its fields
// combine: a late answer may also be a refusal. With none but Delay or Drop
// set, the grant is judged as usual and the answer is late or lost; else it
// is not looked at, as when something before Maskinporten answers.
type Fault struct {
	// MPCode is a refusal as Maskinporten words it, such as MP-121. One that the
	// Fake does not know needs a Code beside it.
	MPCode string

	// Code is an OAuth error code, such as invalid_grant; empty means MPCode's.
	Code string

	// Description is the error_description; empty means MPCode's. A trace id is
	// added to it unless it holds one: "… (trace_id: mine)".
	Description string

	// Status is the answer's; zero means 400 with Code or MPCode, 200 with
	// Body, and 503 with neither.
	Status int

	// Body is the answer as it stands, such as a gateway's page. Empty means
	// JSON if there is a Code or MPCode, and else a page that states Status.
	Body string

	// Header is added to the answer.
	Header http.Header

	// RetryAfter is said in seconds in a header of that name. A date can be
	// given in Header.
	RetryAfter time.Duration

	// Delay passes between a request and its answer, unless the caller gives
	// up before.
	Delay time.Duration

	// Drop breaks the connection off instead of answering. What was asked for
	// has been done: the grant cannot be used again.
	Drop bool

	// Cut breaks the connection off in the middle of the answer that the
	// other fields make.
	Cut bool

	// When limits the fault to the grants for which it is true; nil means all.
	// At Altinn's exchange it is not looked at.
	When func(Grant) bool
}

// faults are those to come, for one endpoint.
type faults struct {
	mu       sync.Mutex
	next     []*counted
	standing *counted
}

type counted struct {
	fault Fault
	left  int // under zero: until healed
}

// FailNext has the next n token requests (those that match When) fail. Calls
// add up: what was said first comes first.
func (f *Fake) FailNext(n int, fault Fault) { f.faults.failNext(n, fault) }

// Fail has all token requests (that match When) fail until [Fake.Heal], or
// until it is called with another fault. Those counted by [Fake.FailNext] come
// first.
func (f *Fake) Fail(fault Fault) { f.faults.fail(fault) }

// Heal ends all faults of the token endpoint. An answer that is being delayed
// stays so.
func (f *Fake) Heal() { f.faults.heal() }

func (f *faults) failNext(n int, fault Fault) {
	if n <= 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	fault.mustCheck()
	f.next = append(f.next, &counted{fault, n})
}

func (f *faults) fail(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault.mustCheck()
	f.standing = &counted{fault, -1}
}

func (f *faults) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next, f.standing = nil, nil
}

// take is the fault that meets g; the zero Fault if there is none. When is
// called without the lock, so that it may ask the Fake.
func (f *faults) take(g Grant) Fault {
	f.mu.Lock()
	candidates := slices.Clone(f.next)
	if f.standing != nil {
		candidates = append(candidates, f.standing)
	}
	f.mu.Unlock()
	for _, c := range candidates {
		if (c.fault.When == nil || c.fault.When(g)) && f.spend(c) {
			return c.fault
		}
	}
	return Fault{}
}

// spend counts c down. It reports whether there was any left.
func (f *faults) spend(c *counted) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.left == 0 {
		return false
	}
	if c.left > 0 {
		c.left--
	}
	f.next = slices.DeleteFunc(f.next, func(c *counted) bool { return c.left == 0 })
	return true
}

// check refuses a fault that is not what the test means.
func (f Fault) check() error {
	if _, known := codes[f.MPCode]; f.MPCode != "" && f.Code == "" && !known {
		return fmt.Errorf("Fault.MPCode %s is not a code that the Fake knows: give its Code too", f.MPCode)
	}
	return nil
}

func (f Fault) mustCheck() {
	if err := f.check(); err != nil {
		panic("maskinportentest: " + err.Error())
	}
}

// answers reports whether the fault answers in Maskinporten's place.
func (f Fault) answers() bool {
	return f.MPCode != "" || f.Code != "" || f.Description != "" || f.Status != 0 || f.Body != "" || f.Header != nil || f.RetryAfter != 0 || f.Cut
}

// refusal is what the fault counts as in the log of grants.
func (f Fault) refusal() *refusal {
	r := refuse(f.MPCode, "")
	r.code = cmp.Or(f.Code, r.code)
	r.description = cmp.Or(f.Description, r.description)
	r.status = f.Status
	switch {
	case r.status != 0:
	case r.code != "":
		r.status = http.StatusBadRequest
	case f.Body != "":
		r.status = http.StatusOK
	default:
		r.status = http.StatusServiceUnavailable
	}
	return r
}

// reply is the answer that the fault gives in Maskinporten's place.
func (f Fault) reply(fake *Fake, r *refusal) *reply {
	out := &reply{status: r.status, header: http.Header{}, body: f.Body}
	switch {
	case f.Body != "":
	case r.code != "":
		out = fake.replyRefusal(r)
	default:
		text := fmt.Sprintf("%d %s", r.status, http.StatusText(r.status))
		out.body = "<html>\r\n<head><title>" + text + "</title></head>\r\n<body>\r\n<center><h1>" + text + "</h1></center>\r\n</body>\r\n</html>\r\n"
		out.header.Set("Content-Type", "text/html")
	}
	if f.RetryAfter > 0 {
		out.header.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	maps.Copy(out.header, f.Header)
	out.cut, out.drop = f.Cut, f.Drop
	return out
}

// wait sleeps as long as the fault says. It reports whether the caller is still
// there.
func (f Fault) wait(r *http.Request) bool {
	if f.Delay <= 0 {
		return true
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
