package tokencache

import (
	"math/rand/v2"
	"time"
)

// Instant is a point in time on both clocks of a machine.
type Instant struct {
	mono time.Duration // since epoch
	wall int64         // nanoseconds since 1970
}

var epoch = time.Now()

// Now returns the present.
func Now() Instant { return At(time.Now()) }

// At returns t, which time.Now has returned.
func At(t time.Time) Instant { return Instant{mono: t.Sub(epoch), wall: t.UnixNano()} }

// Since is how long ago earlier was, by the clock that says more: the monotonic
// clock stands still while a machine is suspended, and the wall clock can be
// set back.
func (now Instant) Since(earlier Instant) time.Duration {
	return max(now.mono-earlier.mono, time.Duration(now.wall-earlier.wall))
}

func (now Instant) add(d time.Duration) Instant {
	return Instant{mono: now.mono + d, wall: now.wall + int64(d)}
}

// Wall returns the time on the wall clock.
func (now Instant) Wall() time.Time { return time.Unix(0, now.wall) }

// Times says how long a value serves, in ages: spans since Sent.
type Times struct {
	// Sent is when the value was asked for. It cannot have begun to live
	// before that.
	Sent Instant

	Stale    time.Duration // from here on another is fetched in the background
	Expired  time.Duration // from here on callers wait for another, while one can be had
	Lifetime time.Duration // from here on it is dead, and never handed out
}

// NewTimes divides lifetime into fresh, stale and expired by fractions of it,
// so that a value that lives for a second is not fetched anew on every call.
//
// A value is stale in the last quarter of its lifetime, or the last minute
// when that is less, and expired in the last tenth, or the last ten seconds.
// Jitter moves stale forward by up to a tenth of that window, so that programs
// that started together do not refresh together.
func NewTimes(sent Instant, lifetime time.Duration) Times {
	window := staleWindow(lifetime)
	jitter := time.Duration(rand.Float64() * float64(window) / 10)
	return Times{
		Sent:     sent,
		Stale:    lifetime - window - jitter,
		Expired:  lifetime - min(lifetime/10, 10*time.Second),
		Lifetime: lifetime,
	}
}

func staleWindow(lifetime time.Duration) time.Duration { return min(lifetime/4, time.Minute) }

// Following returns t for a value that another program fetched and will
// refresh: it is stale a tenth of the window later, and so never before the
// other's. Many programs then refresh a value as often as one alone, and not
// as often as the one whose jitter is the greatest.
func (t Times) Following() Times {
	t.Stale += staleWindow(t.Lifetime) / 10
	return t
}

// Fresh reports whether no other value need be looked for yet.
func (t *Times) Fresh(now Instant) bool { return t.state(now) == fresh }

// Left is how long the value has to live: zero or less when it is dead.
func (t *Times) Left(now Instant) time.Duration { return t.Lifetime - now.Since(t.Sent) }

// A state is what a value of some age is good for.
type state uint8

const (
	fresh   state = iota // handed out
	stale                // handed out, and refreshed in the background
	expired              // handed out if no other can be had
	dead                 // or missing
)

func (t *Times) state(now Instant) state {
	switch age := now.Since(t.Sent); {
	case age < t.Stale:
		return fresh
	case age < t.Expired:
		return stale
	case age < t.Lifetime:
		return expired
	}
	return dead
}
