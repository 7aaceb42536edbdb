package apistest

import (
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// API is one API as a fake. It is an [http.Handler] for what lies below its base
// URL, and safe for concurrent use.
type API struct {
	known  apis.API // the real one
	at     apis.API // the same, where the fake is
	url    string   // empty in memory
	fake   *maskinportentest.Fake
	codes  codeTable
	answer func(*call) *answer

	mu       sync.Mutex
	latency  time.Duration
	limit    int
	underWay map[string]int // by organisation
	stats    Stats
	calls    []Call
	ids      usedIDs
	faults   faults
}

// Stats counts an API's calls.
type Stats struct {
	Calls         int // all of them
	OverLimit     int // turned away, for there were too many at a time
	MaxConcurrent int // most at a time from one organisation, without those turned away
}

// Call is a call of an API, and its answer.
type Call struct {
	Time          time.Time
	Method        string
	Path          string // below the base URL, with its query
	OrgNumber     string // the token's consumer; empty without a valid token
	Supplier      string // who calls on its behalf; else empty
	CorrelationID string
	Status        int    // zero if the connection was broken off
	Code          string // the error's; else empty
}

// API returns the API of package apis as it is reached here: its HTTPClient and
// BaseURL lead to the fake. It is the same value each time, for the limit on
// calls at a time is the value's.
func (a *API) API() apis.API { return a.at }

// URL returns the base URL for
// [github.com/maskinporten-go/maskinporten.Test], which is the fake's own
// address unless it is in memory.
func (a *API) URL() string {
	if a.url != "" {
		return a.url
	}
	return a.known.TestURL
}

// SetLatency sets how long each answer takes from now on. A caller that gives
// up before is let go.
func (a *API) SetLatency(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.latency = d
}

// SetLimit sets how many calls at a time an organisation may make; zero is no
// limit. At first it is the real API's, five for Skatteetaten and none for NAV.
// A call too many is answered 429 with Retry-After: Skatteetaten says that it
// will regulate, and not how.
func (a *API) SetLimit(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.limit = n
}

// Stats returns the counts so far.
func (a *API) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stats
}

// Calls returns the calls that were answered, oldest first: the latest 1,000 of
// them.
func (a *API) Calls() []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

const maxCalls = 1000

// call is a call on its way to an answer.
type call struct {
	*http.Request
	api   *API
	token token
	body  []byte
	id    string // correlation id
	xml   bool
}

// token is what a call's token says.
type token struct {
	consumer, supplier string
	audience           []string
}

// answer is what a call is answered.
type answer struct {
	status int
	header http.Header
	body   []byte
	code   string // of an error
	drop   bool
}

// ServeHTTP answers one call, whose path is below the base URL.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
		return
	}
	c := &call{Request: r, api: a, body: body}
	c.negotiate()
	claims, denied := a.fake.Check(r, a.known.Scope)
	c.token = token{claims.Consumer, claims.Supplier, claims.Audience}
	leave, full := a.enter(claims.Consumer)
	defer leave()
	fault := a.faults.take(r)
	var out *answer
	switch {
	case full:
		out = tooMany()
	case fault.answers():
		out = c.faulty(fault)
	case denied != nil:
		out = c.denied(denied)
	default:
		out = a.answer(c)
	}
	out.drop = fault.Drop
	a.log(c, out)
	if !wait(r, a.delay(full)+fault.Delay) {
		return
	}
	out.send(w)
}

// enter takes a place for the organisation's call. It reports whether there was
// none.
func (a *API) enter(org string) (leave func(), full bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.underWay == nil {
		a.underWay = make(map[string]int)
	}
	a.stats.Calls++
	if a.limit > 0 && a.underWay[org] >= a.limit {
		a.stats.OverLimit++
		return func() {}, true
	}
	a.underWay[org]++
	a.stats.MaxConcurrent = max(a.stats.MaxConcurrent, a.underWay[org])
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.underWay[org]--; a.underWay[org] == 0 {
			delete(a.underWay, org)
		}
	}, false
}

// delay is how long an answer takes; a call too many is turned away at once.
func (a *API) delay(full bool) time.Duration {
	if full {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.latency
}

func (a *API) log(c *call, out *answer) {
	entry := Call{
		Time: time.Now(), Method: c.Method, Path: c.URL.RequestURI(), OrgNumber: c.token.consumer, Supplier: c.token.supplier,
		CorrelationID: c.id, Status: out.status, Code: out.code,
	}
	if out.drop {
		entry.Status = 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.calls) == maxCalls {
		a.calls = a.calls[1:]
	}
	a.calls = append(a.calls, entry)
}

func tooMany() *answer {
	return &answer{
		status: http.StatusTooManyRequests,
		header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Retry-After": {"1"}},
		body:   []byte("Too Many Requests\n"),
	}
}

func (o *answer) send(w http.ResponseWriter) {
	if o.drop {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), o.header)
	w.WriteHeader(o.status)
	w.Write(o.body)
}

// wait reports whether the caller is still there after d.
func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// Fault is something other than what an API should answer. Without a Code, a
// Status or a Body, the call is answered as usual and the answer is late or
// lost.
type Fault struct {
	// Code is one that the API documents, such as IM-001, OTP-004, DAS-003 or
	// AA-101: it decides the status and the message. Others need a Status.
	Code string

	// Message is the error's, instead of the documented one.
	Message string

	// Status is the answer's, instead of the Code's; without a Code and a Body,
	// the answer is a page that states it, as a gateway answers.
	Status int

	// Body is the answer as it stands. Its Status is 200 if none is given.
	Body string

	// Header is added to the answer.
	Header http.Header

	// RetryAfter is said in seconds in a header of that name.
	RetryAfter time.Duration

	// Delay passes before the answer, beside the API's latency.
	Delay time.Duration

	// Drop breaks the connection off instead of answering. What was asked for
	// has been done.
	Drop bool

	// When limits the fault to the calls for which it is true; nil means all.
	// It must not read the body.
	When func(*http.Request) bool
}

func (f Fault) answers() bool { return f.Code != "" || f.Status != 0 || f.Body != "" }

// faulty is the answer that a fault gives.
func (c *call) faulty(f Fault) *answer {
	var out *answer
	switch {
	case f.Body != "":
		out = &answer{status: http.StatusOK, header: http.Header{}, body: []byte(f.Body)}
	case f.Code != "":
		out = c.fail(f.Code, f.Message)
	default:
		text := strconv.Itoa(f.Status) + " " + http.StatusText(f.Status)
		out = &answer{header: http.Header{"Content-Type": {"text/html"}}, body: []byte("<html><head><title>" + text + "</title></head><body><h1>" + text + "</h1></body></html>\n")}
	}
	if f.Status != 0 {
		out.status = f.Status
	}
	if f.RetryAfter > 0 {
		out.header.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	maps.Copy(out.header, f.Header)
	return out
}

// faults are those to come.
type faults struct {
	mu       sync.Mutex
	next     []*counted
	standing *Fault
}

type counted struct {
	Fault
	left int
}

// FailNext has the next n calls (those that match When) fail. Calls add up:
// what was said first comes first. It panics if the API documents no such Code.
func (a *API) FailNext(n int, f Fault) {
	a.check(f)
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	a.faults.next = append(a.faults.next, &counted{f, n})
}

// Fail has all calls (that match When) fail until [API.Heal], or until it is
// called with another fault. Those counted by [API.FailNext] come first.
func (a *API) Fail(f Fault) {
	a.check(f)
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	a.faults.standing = &f
}

// Heal ends all faults.
func (a *API) Heal() {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	a.faults.next, a.faults.standing = nil, nil
}

func (a *API) check(f Fault) {
	if _, known := a.codes[f.Code]; f.Code != "" && f.Status == 0 && !known {
		panic("apistest: " + a.known.Name + " documents no code " + f.Code + ": give its Status too")
	}
}

// take is the fault that meets r; the zero Fault if there is none.
func (f *faults) take(r *http.Request) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.next {
		if c.left > 0 && (c.When == nil || c.When(r)) {
			c.left--
			f.next = slices.DeleteFunc(f.next, func(c *counted) bool { return c.left <= 0 })
			return c.Fault
		}
	}
	if s := f.standing; s != nil && (s.When == nil || s.When(r)) {
		return *s
	}
	return Fault{}
}
