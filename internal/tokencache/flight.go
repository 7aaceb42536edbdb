package tokencache

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Flight describes one fetch.
type Flight[K any] struct {
	ID         uint64 // unique in the process
	Key        *K     // not to be written to
	Background bool   // nobody waits: a value that lives is being refreshed

	// Previous is the refusal that is remembered of the key, if one is.
	Previous *Failure
}

// Outcome is how a fetch has ended.
type Outcome[K, V any] struct {
	Flight   Flight[K]
	Value    *V
	Failure  *Failure // nil after a success
	Repeated bool     // the fetch before failed as well
}

// What may come of a fetch besides a value or a failure. Options.Lost words
// them for callers.
var (
	ErrEnded = errors.New("ended the goroutine it was called on")
	ErrHangs = fmt.Errorf("did not come back: %w", context.DeadlineExceeded)
	ErrDead  = errors.New("brought twice what was dead when it came")
)

// PanicError says that Fetch panicked, and not with what: the value may hold a
// secret.
type PanicError struct {
	Type string // of the value that it panicked with
}

// Error says what the type was.
func (e *PanicError) Error() string { return "panicked with a " + e.Type }

// WaitError is a wait that ended with the caller's context. The fetch goes on,
// if there is one.
type WaitError struct {
	// Err is the context's.
	Err error

	// Late is whether the context had ended before the caller could wait, so
	// that nothing was begun for it.
	Late bool

	// Busy is the number of fetches under way, if there were so many that
	// none could be started for this caller; else zero.
	Busy int
}

// Error says what the wait was for.
func (e *WaitError) Error() string {
	if e.Busy > 0 {
		return fmt.Sprintf("waiting for one of %d fetches under way to end: %v", e.Busy, e.Err)
	}
	if e.Late {
		return fmt.Sprintf("beginning no fetch: %v", e.Err)
	}
	return fmt.Sprintf("waiting for a fetch to end: %v", e.Err)
}

// Unwrap returns the context's error.
func (e *WaitError) Unwrap() error { return e.Err }

// Timeout is what a fetch may take in all.
const Timeout = 30 * time.Second

// cancelGrace is for code that obeys its context to say why it failed; code
// that does not is left behind.
const cancelGrace = 100 * time.Millisecond

// flight is one fetch that any number of callers wait for. Its results are
// written before done is closed.
type flight[K, V any] struct {
	Flight[K]
	done     chan struct{}
	began    atomic.Pointer[beginning[V]]
	holds    bool // no other fetch is to be made for Previous yet, unless its cause is another by now
	complete atomic.Bool
	slow     atomic.Bool // somebody has waited for it long enough
	hangs    bool        // it is complete, but Fetch has not come back; guarded by Entry.mu
	value    *V
	failure  *Failure
}

// beginning is what Options.Start returned.
type beginning[V any] struct {
	ctx context.Context
	end func(*V, *Failure)
}

// over calls end, which may panic: a value that is there is not lost for that.
func (b *beginning[V]) over(v *V, failed *Failure) {
	defer func() { _ = recover() }()
	b.end(v, failed)
}

var lastID atomic.Uint64

// newFlight makes a flight of e, and hands it the permit.
func (c *Cache[K, V]) newFlight(e *Entry[K, V], p *permit, background bool, now Instant) *flight[K, V] {
	p.held = false
	f := &flight[K, V]{
		Flight: Flight[K]{ID: lastID.Add(1), Key: &e.key, Background: background},
		done:   make(chan struct{}),
	}
	if failed := e.failure.Load(); failed != nil && !failed.Temporary {
		f.Previous, f.holds = failed.Failure, failed.holds(now)
	}
	e.flight.Store(f)
	return f
}

// run fetches, and completes whatever foreign code does meanwhile: panic, end
// its goroutine, or not come back, for a signer takes no context and an HTTP
// client may ignore one. Then it is left behind on this goroutine, and no other
// fetch is started for the key until it comes back.
//
// A flight belongs to no caller: it carries the values of the context that
// started it, and goes on under its own deadline when all have left.
func (c *Cache[K, V]) run(ctx context.Context, e *Entry[K, V], f *flight[K, V]) {
	defer c.release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Timeout)
	defer cancel()
	hangs := time.AfterFunc(Timeout+cancelGrace, func() {
		c.complete(ctx, e, f, nil, c.options.Lost(ErrHangs), true)
	})
	var (
		v      *V
		failed *Failure
		lost   error = ErrEnded
	)
	defer func() {
		hangs.Stop()
		if p := recover(); p != nil {
			lost = &PanicError{Type: fmt.Sprintf("%T", p)}
		}
		if lost != nil {
			v, failed = nil, c.options.Lost(lost)
		}
		if !c.complete(ctx, e, f, v, failed, false) {
			c.forget(e, f)
		}
	}()
	if f.holds && !c.options.CauseChanged(ctx, f.Previous) {
		failed, lost = f.Previous, nil
		return
	}
	if f.complete.Load() {
		return // that took as long as a fetch may
	}
	v, failed, lost = c.fetch(c.begin(ctx, f), f.Flight)
}

// begin tells Start, and returns the context for all that follows.
func (c *Cache[K, V]) begin(ctx context.Context, f *flight[K, V]) context.Context {
	b := &beginning[V]{ctx, func(*V, *Failure) {}}
	if c.options.Start != nil {
		b.ctx, b.end = c.options.Start(ctx, f.Flight)
	}
	f.began.Store(b)
	return b.ctx
}

// fetch calls Fetch, and once more if what it brings is dead already: then the
// machine was suspended in between, or the way is longer than the lifetime.
func (c *Cache[K, V]) fetch(ctx context.Context, f Flight[K]) (v *V, failed *Failure, lost error) {
	for range 2 {
		v, failed = c.options.Fetch(ctx, f)
		if failed != nil || c.options.Times(v).Left(Now()) > 0 {
			return v, failed, nil
		}
		f.Previous = nil
	}
	return nil, nil, ErrDead
}

// complete ends f, unless it has been ended before. Who waits for a value gets
// it before any housekeeping, and no foreign code runs while a lock is held.
func (c *Cache[K, V]) complete(ctx context.Context, e *Entry[K, V], f *flight[K, V], v *V, failed *Failure, hangs bool) bool {
	if !f.complete.CompareAndSwap(false, true) {
		return false
	}
	f.value, f.failure = v, failed
	now := Now()
	before := e.failure.Load().known() // only flights write it, and this is the only one
	sent := failed == nil || failed != f.Previous && failed != Postponed
	var remembered *failure
	switch {
	case failed == nil:
	case failed == Postponed:
		remembered = &failure{Failure: Postponed, at: now, pause: postponement}
	case sent:
		remembered = before.next(failed, c.options.SameCause, now)
	default:
		remembered = before.again(now)
	}

	e.mu.Lock()
	e.failure.Store(remembered)
	if v != nil && c.options.Times(v).state(now) < expired {
		c.set(e, v)
	}
	if f.hangs = hangs; !hangs {
		e.flight.Store(nil)
	}
	e.mu.Unlock()

	outcome := Outcome[K, V]{Flight: f.Flight, Value: v, Failure: failed, Repeated: before != nil}
	if b := f.began.Load(); b != nil {
		ctx = b.ctx
		b.over(v, failed)
	}
	if sent && c.options.Count != nil {
		c.options.Count(outcome)
	}
	if failed != nil {
		c.place(e, now) // first, so that the next key drives out this entry, and no value that lives
	}
	close(f.done)
	if failed == nil {
		c.place(e, now)
	}
	if sent && c.options.After != nil {
		c.options.After(ctx, outcome)
	}
	return true
}

// forget is for a flight that was left behind, once Fetch has come back. What
// it brought is too late.
func (c *Cache[K, V]) forget(e *Entry[K, V], f *flight[K, V]) {
	e.mu.Lock()
	e.flight.Store(nil)
	e.mu.Unlock()
	c.place(e, Now())
}

// fetchless reports whether f is over, and was no more than a look at a cause
// that has not changed.
func (f *flight[K, V]) fetchless() bool {
	select {
	case <-f.done:
		return f.holds && f.failure == f.Previous && f.began.Load() == nil
	default:
		return false
	}
}

// wait returns what f brings, or a value that still lives where f brings none
// before ctx ends. A caller for whom there is such a value waits for half of
// what it has left: then it is better than waiting on, for this caller and
// those who come.
func (c *Cache[K, V]) wait(ctx context.Context, e *Entry[K, V], f *flight[K, V]) (*V, error) {
	const worthwhile = time.Second // to be used in
	patient, cancel := ctx, context.CancelFunc(func() {})
	if v := c.unexpired(e); v != nil {
		if left := c.options.Times(v).Left(Now()); left > worthwhile {
			patient, cancel = context.WithTimeout(ctx, left/2)
		}
	}
	v, err := c.join(patient, f)
	cancel()
	if err == nil {
		return v, nil
	}
	if v := c.unexpired(e); v != nil {
		if ctx.Err() == nil {
			f.slow.Store(true)
		}
		return v, nil
	}
	if patient.Err() != nil && ctx.Err() == nil {
		return c.join(ctx, f) // it was dropped meanwhile
	}
	return nil, err
}

// join returns what f brings. It ends with f or with ctx, whichever comes first.
func (c *Cache[K, V]) join(ctx context.Context, f *flight[K, V]) (*V, error) {
	c.waiters.Add(1)
	defer c.waiters.Add(-1)
	select {
	case <-f.done:
	case <-ctx.Done():
		select {
		case <-f.done: // both: what came is looked at first
		default:
			return nil, &WaitError{Err: ctx.Err()}
		}
	}
	switch {
	case f.failure == Postponed:
		return nil, errAgain
	case f.failure != nil:
		return nil, f.failure.Err
	case c.options.Times(f.value).Left(Now()) <= 0:
		return nil, errAgain // the machine was suspended before this caller could run
	}
	return f.value, nil
}

// permit is what a caller needs to start a flight. There are so many of them
// as there may be fetches under way, those left behind included; an entry is
// made only by who holds one, so that all entries but these can be evicted.
type permit struct{ held bool }

// acquire reports whether p is held now.
func (c *Cache[K, V]) acquire(p *permit) bool {
	if !p.held {
		select {
		case c.permits <- struct{}{}:
			p.held = true
		default:
		}
	}
	return p.held
}

// await waits for p.
func (c *Cache[K, V]) await(ctx context.Context, p *permit) error {
	c.waiters.Add(1)
	defer c.waiters.Add(-1)
	select {
	case c.permits <- struct{}{}:
		p.held = true
		return nil
	case <-ctx.Done():
		return &WaitError{Err: ctx.Err(), Busy: cap(c.permits)}
	}
}

// giveBack is for a permit that was not used.
func (c *Cache[K, V]) giveBack(p *permit) {
	if p.held {
		c.release()
	}
}

func (c *Cache[K, V]) release() { <-c.permits }
