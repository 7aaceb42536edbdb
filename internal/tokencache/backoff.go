package tokencache

import "time"

// Failure is why a fetch brought no value. It is shared by all who waited for
// it, and by those who ask while it is remembered.
type Failure struct {
	// Err is what callers get.
	Err error

	// Temporary reports whether it may pass without anybody doing anything.
	// Such a failure is remembered for a shorter time than a refusal.
	Temporary bool

	// RetryAfter is the least time to remember it for.
	RetryAfter time.Duration

	// Cause is what has to change before a refusal can be mended, for instance
	// the credential that was refused. While a refusal with a Cause is
	// remembered, Fetch is still called, with the refusal as Previous, to see
	// whether the cause has changed. With nil only time helps.
	Cause any
}

// Postponed is what Fetch returns for a flight in the background if others are
// about to have a value that it will find then. It is no failure: it is not
// counted, the next flight in the background starts [postponement] later, and a
// caller who has no value to use starts one at once.
var Postponed = &Failure{Temporary: true}

const postponement = time.Second

// Pauses after failures double from the first to the longest.
const (
	firstPause            = time.Second // after a refusal
	maxPause              = 30 * time.Second
	firstPauseOfTemporary = 100 * time.Millisecond
	maxPauseOfTemporary   = time.Second
)

// failure is a Failure that is remembered, so that callers are not each kept
// waiting for what is known to fail, and nobody is asked for it on every call.
// It is immutable.
type failure struct {
	*Failure
	at    Instant
	pause time.Duration
}

// holds reports whether no other fetch is to be made yet.
func (f *failure) holds(now Instant) bool { return f != nil && now.Since(f.at) < f.pause }

// known is f unless it was Postponed, of which nothing is known.
func (f *failure) known() *failure {
	if f != nil && f.Failure == Postponed {
		return nil
	}
	return f
}

// next is what is remembered after failed, which came after f (nil if none
// did). The pause grows while failures are of one kind and one cause, and
// starts anew with another.
func (f *failure) next(failed *Failure, sameCause func(a, b any) bool, now Instant) *failure {
	pause, longest := firstPause, maxPause
	if failed.Temporary {
		pause, longest = firstPauseOfTemporary, maxPauseOfTemporary
	}
	if f != nil && f.Temporary == failed.Temporary && equalCauses(f.Cause, failed.Cause, sameCause) {
		pause = max(pause, min(2*f.pause, longest))
	}
	return &failure{Failure: failed, at: now, pause: max(pause, failed.RetryAfter)}
}

// again is f after a fetch that sent nothing. It is no news, so the pause does
// not grow; if it was over, f is remembered for a little longer, so that not
// every call comes to nothing anew.
func (f *failure) again(now Instant) *failure {
	if f.holds(now) {
		return f
	}
	return &failure{Failure: f.Failure, at: now.add(min(f.pause, maxPauseOfTemporary) - f.pause), pause: f.pause}
}

func equalCauses(a, b any, same func(a, b any) bool) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return same(a, b)
}
