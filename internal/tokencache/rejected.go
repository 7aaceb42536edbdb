package tokencache

import "time"

// Replacing values that their users reject costs fetches, and a user may
// reject every value. So each key has maxReplacements of them, and gains one
// every replacementInterval, whatever is said of its values in between.
const (
	maxReplacements     = 5
	replacementInterval = 30 * time.Second
)

// rejections is what is known of the rejected values of one entry. It is
// immutable; a nil one has all replacements left.
type rejections[V any] struct {
	last *V // the last value known to be rejected

	// full is when all replacements are there again, by the monotonic
	// clock. Each one taken moves it on by an interval.
	full time.Duration

	exhausted bool // there was none left, and all have not been there since
}

// A Verdict is what a caller may do about a rejected value.
type Verdict struct {
	// Again reports whether to try again with what Get returns next.
	Again bool

	// Exhausted reports that there is no replacement left, for the first time
	// since all were there: whoever rejects the values rejects new ones, too.
	Exhausted bool
}

// Reject is told that v, which Get returned, was rejected by whoever it was
// shown to. If the entry still holds v it is dropped, for as long as there are
// replacements.
//
// A value that the caller has just waited for is kept: another would fare no
// better. The word on a value that is no longer held costs nothing, and is
// worth another try unless the value that came since is known to be rejected.
func (c *Cache[K, V]) Reject(e *Entry[K, V], v *V, justFetched bool) Verdict {
	now := Now()
	e.mu.Lock()
	verdict, dropped := c.reject(e, v, justFetched, now)
	e.mu.Unlock()
	if dropped {
		c.place(e, now)
	}
	return verdict
}

func (c *Cache[K, V]) reject(e *Entry[K, V], v *V, justFetched bool, now Instant) (verdict Verdict, dropped bool) {
	held, known := e.value.Load(), e.rejections.Load()
	switch {
	case held != v:
		return Verdict{Again: !justFetched && (held == nil || known == nil || held != known.last)}, false
	case justFetched:
		e.rejections.Store(known.with(v, now))
		return Verdict{}, false
	}
	next, ok := known.replace(v, now)
	e.rejections.Store(next)
	if !ok {
		return Verdict{Exhausted: !known.exhausted}, false
	}
	c.set(e, nil)
	return Verdict{Again: true}, true
}

// with is r with v as the last value that was rejected.
func (r *rejections[V]) with(v *V, now Instant) *rejections[V] {
	if r == nil || r.full <= now.mono {
		return &rejections[V]{last: v, full: now.mono}
	}
	return &rejections[V]{last: v, full: r.full, exhausted: r.exhausted}
}

// replace takes a replacement for v, if there is one.
func (r *rejections[V]) replace(v *V, now Instant) (next *rejections[V], ok bool) {
	next = r.with(v, now)
	if next.full-now.mono > (maxReplacements-1)*replacementInterval {
		next.exhausted = true
		return next, false
	}
	next.full += replacementInterval
	return next, true
}
