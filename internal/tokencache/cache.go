// Package tokencache keeps values that live for a while, such as access
// tokens, and sees to it that no call waits for one that can be had before.
//
// A value passes from fresh to stale to expired to dead ([Times]). A fresh one
// is handed out at the cost of an atomic load and a look at the clock. A stale
// one is handed out too, while another is fetched in the background. Callers
// wait only when there is none to hand out, and then all of one key wait for
// one fetch (a flight), each for as long as its own context lasts.
//
// Failures are remembered for a short time that grows ([Failure]). Keys,
// fetches and goroutines are bounded, and nothing runs between calls.
package tokencache

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Options are what a [Cache] is made of. Fields are required unless they say
// otherwise. No function is called while a lock is held, save Hash, Equal,
// Times and Secret, which only look at what they are given.
type Options[K, V any] struct {
	// Hash and Equal compare keys. They serve keys that are kept; a key that
	// is looked up is compared in [Cache.Find], where it does not escape.
	Hash  func(*K) uint64
	Equal func(a, b *K) bool

	// Times returns the times of a value, always the same ones.
	Times func(*V) *Times

	// Secret returns what [Cache.Invalidate] knows a value by. If it is nil,
	// nothing can be invalidated.
	Secret func(*V) string

	// Fetch gets a value. If it sends nothing, and so has learned nothing about
	// the refusal that is Previous, it returns that itself; see also
	// [Postponed]. It may be called for many keys at once, but never twice at
	// once for one.
	Fetch func(context.Context, Flight[K]) (*V, *Failure)

	// Start, if not nil, is called before Fetch. The context it returns goes to
	// Fetch and After, and end is called when the flight is over, before anyone
	// who waits for it is told: with a value, or with a failure. That is also
	// so for one whose Fetch has not come back.
	Start func(context.Context, Flight[K]) (_ context.Context, end func(*V, *Failure))

	// SameCause compares the Causes of failures. CauseChanged reports whether
	// the one of a refusal that is remembered is another by now: until then
	// a flight for it is over without Start and Fetch. Both are required where
	// there are any Causes.
	SameCause    func(a, b any) bool
	CauseChanged func(context.Context, *Failure) bool

	// Lost returns the failure of a fetch that brought none itself. Its error
	// is a *[PanicError], [ErrEnded], [ErrHangs] or [ErrDead].
	Lost func(error) *Failure

	// Count, if not nil, is told how each fetch has ended, before anyone who
	// waits for it.
	Count func(Outcome[K, V])

	// After, if not nil, is told the same on the fetch's goroutine once all
	// who wait have been woken, and may take its time. Neither is told of a
	// fetch that sent nothing.
	After func(context.Context, Outcome[K, V])

	// Limit is how many keys are held at most, and Flights how many fetches
	// are under way at most (Limit, when that is less).
	Limit, Flights int
}

// Cache holds values by their keys. It is safe for concurrent use.
type Cache[K, V any] struct {
	entries[K, V]
	options Options[K, V]
	start   time.Time
	permits chan struct{} // as many as there are fetches under way
	waiters atomic.Int64

	secretsMu sync.Mutex // after Entry.mu, where both are held
	secrets   index[Entry[K, V]]
	seed      maphash.Seed
}

// New makes an empty cache.
func New[K, V any](o Options[K, V]) *Cache[K, V] {
	c := &Cache[K, V]{
		options: o,
		start:   time.Now(),
		permits: make(chan struct{}, min(o.Flights, o.Limit)),
		seed:    maphash.MakeSeed(),
	}
	c.limit = o.Limit
	return c
}

// Find returns the entry with that hash for which same holds, or nil. It may
// miss one that has just come.
func (c *Cache[K, V]) Find(hash uint64, same func(*K) bool) *Entry[K, V] {
	return c.index.find(hash, func(e *Entry[K, V]) bool { return same(&e.key) })
}

// elapsed is the time since c was made, by the monotonic clock.
func (c *Cache[K, V]) elapsed(now Instant) time.Duration { return now.mono - At(c.start).mono }

// wallClockInterval is how long a look at both clocks is good for.
const wallClockInterval = time.Millisecond

// Hit returns the value of e if a caller may have it at once, else nil.
//
// A look at a clock is most of what a hit costs, and time.Now looks at two.
// The wall clock only shows that the machine was suspended, from which no
// machine wakes within a millisecond of running time: it is looked at that
// often. In between, a hit looks at the monotonic clock alone.
func (c *Cache[K, V]) Hit(e *Entry[K, V]) *V {
	until := e.freshUntil.Load() // before the value: it may speak for an older one, never for a newer
	if v := e.value.Load(); v != nil && time.Since(c.start) < time.Duration(until) {
		c.touch(e)
		return v
	}
	return c.look(e, Now())
}

// look is Hit with both clocks.
func (c *Cache[K, V]) look(e *Entry[K, V], now Instant) *V {
	v := e.value.Load()
	if v == nil {
		return nil
	}
	t := c.options.Times(v)
	switch t.state(now) {
	case fresh:
		e.freshUntil.Store(int64(c.elapsed(now) + min(wallClockInterval, t.Stale-now.Since(t.Sent))))
	case stale:
		if e.flight.Load() == nil && !e.failure.Load().holds(now) {
			return nil // it is to be refreshed
		}
	default:
		return nil
	}
	c.touch(e)
	return v
}

// Result is what [Cache.Get] returns.
type Result[K, V any] struct {
	Value  *V
	Entry  *Entry[K, V]
	Waited *Flight[K] // the fetch that was waited for; nil if none was
}

// errAgain is for a caller who has to look again: the entry has left the
// cache, or the value died before the caller could run.
// errBusy is for one who has to wait for a permit first.
var (
	errAgain = errors.New("look again")
	errBusy  = errors.New("all permits are taken")
)

// Get returns a value of key: the one at hand, or a new one. It waits for a
// fetch no longer than ctx lasts, and then returns a *[WaitError]. Other errors
// are a [Failure]'s, and shared by all who get it.
//
// A value that lives is returned even when ctx has ended or fetching fails.
func (c *Cache[K, V]) Get(ctx context.Context, key *K) (Result[K, V], error) {
	hash := c.options.Hash(key)
	var p permit
	defer c.giveBack(&p)
	for {
		var (
			r   Result[K, V]
			f   *flight[K, V]
			err error
		)
		if r.Entry = c.entry(hash, key); r.Entry == nil {
			r.Entry, f, err = c.create(ctx, hash, key, &p)
		} else {
			r.Value, f, err = c.getOrStart(ctx, r.Entry, &p)
		}
		if f != nil {
			r.Value, err = c.wait(ctx, r.Entry, f)
			if r.Waited = &f.Flight; f.fetchless() {
				r.Waited = nil
			}
		}
		switch err {
		case errAgain:
		case errBusy:
			if err := c.await(ctx, &p); err != nil {
				if r.Entry = c.entry(hash, key); r.Entry != nil {
					r.Value = c.unexpired(r.Entry)
				}
				if r.Value == nil {
					return r, err
				}
				return r, nil
			}
		default:
			return r, err
		}
	}
}

// create makes an entry with a flight under way. There is none without: a
// caller who cannot fetch drives out no value of others.
func (c *Cache[K, V]) create(ctx context.Context, hash uint64, key *K, p *permit) (*Entry[K, V], *flight[K, V], error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, &WaitError{Err: err, Late: true}
	}
	if !c.acquire(p) {
		return nil, nil, errBusy
	}
	e := &Entry[K, V]{key: *key, hash: hash}
	f := c.newFlight(e, p, false, Instant{})
	if !c.add(e) {
		p.held = true
		return nil, nil, errAgain
	}
	go c.run(ctx, e, f)
	return e, f, nil
}

// getOrStart decides what a caller gets: a value, an error, or a flight to
// wait for.
func (c *Cache[K, V]) getOrStart(ctx context.Context, e *Entry[K, V], p *permit) (*V, *flight[K, V], error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return nil, nil, errAgain
	}
	c.touch(e)
	now := Now()
	v, s := c.held(e, now)
	if s == stale || s == expired && (e.refreshTried() || ctx.Err() != nil) {
		c.refresh(e, now, p)
		return v, nil, nil
	}
	if s == fresh {
		return v, nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, &WaitError{Err: err, Late: true}
	}
	f, err := c.joinOrStart(ctx, e, now, p, nil)
	if err == errBusy && s == expired {
		return v, nil, nil
	}
	return nil, f, err
}

// held is the value of e and its state: dead if there is none.
func (c *Cache[K, V]) held(e *Entry[K, V], now Instant) (*V, state) {
	v := e.value.Load()
	if v == nil {
		return nil, dead
	}
	return v, c.options.Times(v).state(now)
}

// refreshTried reports whether a fetch in the background has been started, or
// one has failed or taken too long. From then on a value serves to its very
// end: those who come do not wait for what has not come so far.
func (e *Entry[K, V]) refreshTried() bool {
	f := e.flight.Load()
	return e.failure.Load() != nil || f != nil && (f.Background || f.slow.Load())
}

// refresh starts a flight that nobody waits for, if there is to be one.
func (c *Cache[K, V]) refresh(e *Entry[K, V], now Instant, p *permit) {
	if e.flight.Load() == nil && !e.failure.Load().holds(now) && c.acquire(p) {
		go c.run(context.Background(), e, c.newFlight(e, p, true, now))
	}
}

// joinOrStart returns a flight to wait for, or the error that is remembered.
// allowed, if not nil, is asked whether a flight may be started.
func (c *Cache[K, V]) joinOrStart(ctx context.Context, e *Entry[K, V], now Instant, p *permit, allowed func() error) (*flight[K, V], error) {
	f, failed := e.flight.Load(), e.failure.Load().known()
	switch {
	case f != nil && f.hangs:
		return nil, failed.Err
	case f != nil:
		return f, nil
	case failed.holds(now) && (failed.Temporary || failed.Cause == nil):
		return nil, failed.Err
	case !c.acquire(p):
		return nil, errBusy
	}
	if allowed != nil {
		if err := allowed(); err != nil {
			return nil, err
		}
	}
	f = c.newFlight(e, p, false, now)
	go c.run(ctx, e, f)
	return f, nil
}

// Refetch returns a value other than old, by a fetch that is under way or a new
// one. allowed is asked before a new one is started, and its error returned.
// It is called with a lock held, so that one caller is asked for all who come,
// and must be quick. Where the fetch fails its error is returned, whatever
// value is at hand.
func (c *Cache[K, V]) Refetch(ctx context.Context, key *K, old *V, allowed func() error) (*V, error) {
	hash := c.options.Hash(key)
	var p permit
	defer c.giveBack(&p)
	for {
		e := c.entry(hash, key)
		if e == nil {
			r, err := c.Get(ctx, key)
			return r.Value, err
		}
		v, f, err := c.newer(ctx, e, old, &p, allowed)
		if f != nil {
			v, err = c.join(ctx, f)
		}
		if err == errBusy {
			if err = c.await(ctx, &p); err == nil {
				continue
			}
		}
		if err != errAgain {
			return v, err
		}
	}
}

// newer decides what a caller of Refetch gets.
func (c *Cache[K, V]) newer(ctx context.Context, e *Entry[K, V], old *V, p *permit, allowed func() error) (*V, *flight[K, V], error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone {
		return nil, nil, errAgain
	}
	c.touch(e)
	now := Now()
	if v, s := c.held(e, now); v != old && s != dead {
		return v, nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, &WaitError{Err: err, Late: true}
	}
	f, err := c.joinOrStart(ctx, e, now, p, allowed)
	return nil, f, err
}

// unexpired is the value of e while it lives, for a caller to whom no better
// one can be had.
func (c *Cache[K, V]) unexpired(e *Entry[K, V]) *V {
	if v, s := c.held(e, Now()); s != dead {
		return v
	}
	return nil
}

// set puts v in the place of the value of e, whose lock is held. The secret is
// known before anyone can have the value.
func (c *Cache[K, V]) set(e *Entry[K, V], v *V) {
	if c.options.Secret != nil {
		c.secretsMu.Lock()
		if e.value.Load() != nil {
			c.secrets.remove(e.secret, e)
		}
		if v != nil {
			e.secret = maphash.String(c.seed, c.options.Secret(v))
			c.secrets.insert(e.secret, e)
		}
		c.secretsMu.Unlock()
	}
	e.value.Store(v)
}

// Invalidate drops the value with exactly that secret, and returns the key it
// was held for; nil if there is no such value.
func (c *Cache[K, V]) Invalidate(secret string) *K {
	isHeld := func(e *Entry[K, V]) bool {
		v := e.value.Load()
		return v != nil && c.options.Secret(v) == secret
	}
	hash := maphash.String(c.seed, secret)
	c.secretsMu.Lock()
	e := c.secrets.find(hash, isHeld)
	c.secretsMu.Unlock()
	if e == nil {
		return nil
	}
	now := Now()
	e.mu.Lock()
	dropped := isHeld(e)
	if dropped {
		e.rejections.Store(e.rejections.Load().with(e.value.Load(), now))
		c.set(e, nil)
	}
	e.mu.Unlock()
	if !dropped {
		return nil
	}
	c.place(e, now)
	return &e.key
}

// Replaced returns the values in whose place a fetch for key is to bring
// another: the one that is held, and the last one that was rejected or
// invalidated. Either may be nil.
func (c *Cache[K, V]) Replaced(key *K) (held, rejected *V) {
	e := c.entry(c.options.Hash(key), key)
	if e == nil {
		return nil, nil
	}
	if r := e.rejections.Load(); r != nil {
		rejected = r.last
	}
	return e.value.Load(), rejected
}

// Waiters returns how many callers wait now.
func (c *Cache[K, V]) Waiters() int { return int(c.waiters.Load()) }
