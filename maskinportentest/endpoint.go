package maskinportentest

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
)

const grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// answer is what a token request is answered: a token or a refusal.
type answer struct {
	refusal *refusal
	token   string
	scope   string
	expires int64 // seconds
}

// serveToken answers a token request. Each is logged, whatever becomes of it.
func (f *Fake) serveToken(w http.ResponseWriter, r *http.Request) {
	assertion, bad := readForm(r)
	g := Grant{Time: f.now()}
	var token *jws
	if bad == nil {
		token, bad = readGrant(&g, assertion)
	}
	fault := f.faults.take(g)
	answer := answer{refusal: bad}
	switch {
	case fault.answers():
		answer.refusal = fault.refusal()
	case bad == nil:
		answer = f.judge(&g, token, assertion)
	}
	g.note(answer, fault)
	f.logGrant(g)
	if !fault.wait(r) {
		return
	}
	if fault.answers() {
		fault.answer(w, f.env.Issuer)
		return
	}
	if fault.Drop {
		panic(http.ErrAbortHandler)
	}
	f.answer(w, answer)
}

func (f *Fake) answer(w http.ResponseWriter, a answer) {
	w.Header().Set("Cache-Control", "no-store")
	if a.refusal != nil {
		if a.refusal.status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		writeJSON(w, a.refusal.status, a.refusal.body(f.env.Issuer))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": a.token,
		"token_type":   "Bearer",
		"expires_in":   a.expires,
		"scope":        a.scope,
	})
}

// readForm takes the assertion out of the request, which must have the shape
// of RFC 7523 §2.1 and nothing beside it.
func readForm(r *http.Request) (assertion string, bad *refusal) {
	if r.Method != http.MethodPost {
		bad = invalidRequest("The token endpoint takes POST")
		bad.status = http.StatusMethodNotAllowed
		return "", bad
	}
	if r.URL.RawQuery != "" {
		return "", invalidRequest("Parameters belong in the body, not in the URL")
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/x-www-form-urlencoded" {
		return "", invalidRequest("Content-Type must be application/x-www-form-urlencoded")
	}
	if r.Header.Get("Authorization") != "" {
		return "", invalidRequest("Client authentication is by the assertion alone, without an Authorization header")
	}
	for _, name := range []string{"Consumer_org", "Consumer-Org"} {
		if r.Header.Get(name) != "" {
			return "", invalidRequest("consumer_org is a claim of the grant, not a header")
		}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return "", invalidRequest("The body could not be read")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return "", invalidRequest("The body is not a form")
	}
	for name, values := range form {
		switch {
		case name != "grant_type" && name != "assertion":
			return "", invalidRequest("Unknown parameter " + name + ": what is asked for are claims of the assertion")
		case len(values) != 1:
			return "", invalidRequest("Parameter " + name + " is repeated")
		}
	}
	switch {
	case !form.Has("grant_type"):
		return "", invalidRequest("Missing parameter grant_type")
	case form.Get("grant_type") != grantType:
		bad = invalidRequest("The grant_type must be " + grantType)
		bad.code = "unsupported_grant_type"
		return "", bad
	case form.Get("assertion") == "":
		return "", invalidRequest("Missing parameter assertion")
	}
	return form.Get("assertion"), nil
}

// usedGrants are the grants that cannot be used again, until they have expired.
type usedGrants struct {
	expiry map[string]int64
	next   int // sweep at this size
}

const firstSweep = 1024

// use reports whether the grant is used for the first time.
func (u *usedGrants) use(key string, expires, now int64) bool {
	if u.expiry == nil {
		u.expiry = make(map[string]int64)
		u.next = firstSweep
	}
	if _, used := u.expiry[key]; used {
		return false
	}
	if len(u.expiry) >= u.next {
		for old, e := range u.expiry {
			if e < now {
				delete(u.expiry, old)
			}
		}
		u.next = max(firstSweep, 2*len(u.expiry))
	}
	u.expiry[key] = expires
	return true
}

// grantLog is the latest grants, and how many there have been.
type grantLog struct {
	total  int
	latest []Grant // a ring once it is full
}

const maxGrants = 1000

func (f *Fake) logGrant(g Grant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.log.latest) < maxGrants {
		f.log.latest = append(f.log.latest, g)
	} else {
		f.log.latest[f.log.total%maxGrants] = g
	}
	f.log.total++
}

// TokenRequests is how many requests the token endpoint has got, whatever they
// were answered.
func (f *Fake) TokenRequests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.total
}

// Grants are the token requests that came, oldest first, with what they were
// answered: the latest 1,000 of them. Those whose answer is delayed are there
// already.
func (f *Fake) Grants() []Grant {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log.total <= maxGrants {
		return slices.Clone(f.log.latest)
	}
	oldest := f.log.total % maxGrants
	return slices.Concat(f.log.latest[oldest:], f.log.latest[:oldest])
}

// LastGrant is the latest of [Fake.Grants]; the zero Grant if there is none.
func (f *Fake) LastGrant() Grant {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log.total == 0 {
		return Grant{}
	}
	return f.log.latest[(f.log.total-1)%maxGrants]
}
