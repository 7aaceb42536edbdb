package maskinporten

import "time"

// refusal remembers that an API answered 401 to tokens of an entry, so that an
// API which refuses every token costs Maskinporten one fetch a pause, not one
// a call.
type refusal struct {
	token    *Token // the last that was refused
	accepted *Token // one that was accepted since
	at       time.Time
	pause    time.Duration // how long from at no token is dropped
	mended   int           // how often a replacement was accepted
}

// mostMended is how many times in a row, each within 2*longestPause of the one
// before, a refusal may be followed by a success before it no longer counts as
// one: an API that accepts and refuses by turns is as costly as one that
// always refuses.
const mostMended = 10

// refuse is told that an API answered 401 to t, which the caller may just have
// fetched. It drops t if another may mend that, and tells whether to try again.
func (c *cache) refuse(e *entry, t *Token, justFetched bool) (again bool) {
	now := time.Now()
	e.mu.Lock()
	again, pause := e.refuse(t, justFetched, now)
	e.mu.Unlock()
	c.settle(e, now)
	if pause > 0 {
		c.log.Warn("maskinporten: the API answers 401 to new tokens too, so it is not the token's age: check its environment, scope and the customer's access",
			"request", e.key, "pause", pause)
	}
	return again
}

// refuse returns the pause that begins with this refusal, if one does.
func (e *entry) refuse(t *Token, justFetched bool, now time.Time) (again bool, pause time.Duration) {
	held, r := e.token.Load(), e.refusal.Load()
	if r != nil && r.accepted != nil && age(r.at, now) >= 2*longestPause {
		r = nil // an old story, which ended well
	}
	switch {
	case r != nil && t.sent.Before(r.token.sent): // a late word on an old token
		return held != nil && held != r.token, 0
	case r != nil && t == r.token:
		if held == t && age(r.at, now) < r.pause {
			return false, 0
		}
		e.token.CompareAndSwap(t, nil)
		return true, 0
	case held != nil && held != t && !justFetched: // another has come since
		return true, 0
	case r == nil || r.accepted != nil && r.mended <= mostMended:
		if justFetched {
			return false, 0
		}
		first := &refusal{token: t, at: now}
		if r != nil {
			first.mended = r.mended
		}
		e.refusal.Store(first)
		e.token.CompareAndSwap(t, nil)
		return true, 0
	}
	// The replacement was refused too.
	pause = min(max(2*r.pause, firstPause), longestPause)
	e.refusal.Store(&refusal{token: t, at: now, pause: pause, mended: r.mended})
	return false, pause
}

// accept is told that an API took t. It writes once for a token that replaced
// a refused one, and otherwise only reads.
func (c *cache) accept(e *entry, t *Token) {
	r := e.refusal.Load()
	if r == nil || t == r.token || t == r.accepted {
		return
	}
	next := &refusal{token: r.token, accepted: t, at: r.at, pause: r.pause, mended: r.mended + 1}
	if age(r.at, time.Now()) >= longestPause {
		next = nil
	}
	e.refusal.CompareAndSwap(r, next)
}
