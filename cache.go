package maskinporten

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// cache hands out tokens and sees to it that they are fetched: at most one
// fetch (a flight) a key at a time, in the background as soon as a token is
// stale, and with somebody waiting only when there is none to hand out.
type cache struct {
	entries
	fetch  func(ctx context.Context, key *Request, refused *Credential) (*Token, *Credential, error)
	about  func(key *Request) requestInfo
	static bool // the credential can never be another
	log    *slog.Logger

	waiters atomic.Int64
	statsMu sync.Mutex
	stats   Stats
}

// flight is one fetch that any number of callers wait for. Its results are
// written before done is closed.
type flight struct {
	done       chan struct{}
	background bool
	slow       atomic.Bool // somebody has waited for it long enough
	landed     atomic.Bool
	token      *Token
	err        error
}

// failure is remembered so that callers are not each kept waiting for what is
// known to fail, and Maskinporten is not asked for it on every call.
type failure struct {
	err        error
	credential *Credential // that it failed with, if it got that far
	at         time.Time
	pause      time.Duration
	temporary  bool
}

func (f *failure) holds(now time.Time) bool { return f != nil && age(f.at, now) < f.pause }

// Pauses after failures double from the first to the longest.
const (
	firstPause       = time.Second // after a refusal
	longestPause     = 30 * time.Second
	firstTemporary   = 100 * time.Millisecond
	longestTemporary = time.Second
)

const (
	flightTimeout = 30 * time.Second

	// lastWords is for code that obeys its context to say why it failed; code
	// that does not is left behind.
	lastWords = 100 * time.Millisecond
)

var (
	errFlightAbandoned = errors.New("the credential source, the signer or the HTTP client ended the goroutine it was called on")
	errFlightHangs     = errors.New("the credential source, the signer or the HTTP client did not come back")
)

func newCache(x *exchange, static bool, log *slog.Logger) *cache {
	c := &cache{fetch: x.fetch, about: x.requestInfo, static: static, log: log}
	c.entries.init(maxEntries)
	c.stats.Failures = make(map[string]int64)
	return c
}

// hit is the token of e if a caller may have it without more ado, else nil.
//
// A look at a clock is most of what a hit costs, and time.Now looks at two.
// The wall clock only shows that the machine was suspended, from which no
// machine wakes within a millisecond of running time: it is looked at that
// often. In between, a hit looks at the monotonic clock alone.
func (c *cache) hit(e *entry) *Token {
	until := e.vouched.Load() // before the token: it may speak for an older one, never for a newer
	if t := e.token.Load(); t != nil && time.Since(c.start) < time.Duration(until) {
		c.touch(e)
		return t
	}
	return c.look(e, time.Now())
}

// vouchFor is how long a look at both clocks is good for.
const vouchFor = time.Millisecond

// look is hit with both clocks.
func (c *cache) look(e *entry, now time.Time) *Token {
	t := e.token.Load()
	if t == nil {
		return nil
	}
	switch old := age(t.sent, now); {
	case old < t.stale:
		e.vouched.Store(int64(now.Sub(c.start) + min(vouchFor, t.stale-old)))
	case old < t.expired && (e.flight.Load() != nil || e.failure.Load().holds(now)):
	default:
		return nil
	}
	c.touch(e)
	return t
}

// token is the token of e, or a new one. It tells whether the caller waited.
func (c *cache) token(ctx context.Context, e *entry) (t *Token, waited bool, err error) {
	for {
		if t := c.hit(e); t != nil {
			return t, false, nil
		}
		t, f, err := c.board(ctx, e)
		if err == errGone {
			e = c.entryFor(&e.key)
			continue
		}
		if f == nil {
			return t, false, err
		}
		t, err = c.wait(ctx, e, f)
		return t, true, err
	}
}

var errGone = errors.New("the entry has left the cache")

// board decides what a caller gets: a token, an error, or a flight to wait for.
func (c *cache) board(ctx context.Context, e *entry) (*Token, *flight, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.gone.Load() {
		return nil, nil, errGone
	}
	c.touch(e)
	now := time.Now()
	t, f, failed := e.token.Load(), e.flight.Load(), e.failure.Load()
	if t != nil {
		old := age(t.sent, now)
		lives := old < t.lifetime
		// Once a refresh has been tried, a token serves to its very end: those
		// who come do not wait for what has not come so far.
		tried := failed != nil || f != nil && (f.background || f.slow.Load())
		if old < t.expired || lives && (tried || ctx.Err() != nil) {
			if old >= t.stale && f == nil && !failed.holds(now) {
				c.launch(e, true, nil)
			}
			return t, nil, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, c.waitError(e, err)
	}
	if f != nil {
		return nil, f, nil
	}
	var refused *Credential
	if failed.holds(now) {
		if c.static || failed.credential == nil || failed.temporary {
			return nil, nil, cloneError(failed.err)
		}
		// A new credential forgets refusals. Asking the source for it is
		// the flight's business: it may take time, and one asks for all.
		refused = failed.credential
	}
	return nil, c.launch(e, false, refused), nil
}

// launch starts a flight of e, whose lock is held. The flight belongs to no
// caller: it goes on under its own deadline when they have left.
func (c *cache) launch(e *entry, background bool, refused *Credential) *flight {
	f := &flight{done: make(chan struct{}), background: background}
	e.flight.Store(f)
	go c.fly(e, f, refused)
	return f
}

// fly fetches, and lands whatever foreign code does meanwhile: panic, end its
// goroutine, or not come back, for Sign takes no context and an HTTP client may
// ignore one. Then it is left behind on this goroutine.
func (c *cache) fly(e *entry, f *flight, refused *Credential) {
	ctx, cancel := context.WithTimeout(context.Background(), flightTimeout)
	defer cancel()
	hangs := time.AfterFunc(flightTimeout+lastWords, func() {
		c.land(e, f, nil, nil, fmt.Errorf("%w: %w", errFlightHangs, context.DeadlineExceeded))
	})
	defer hangs.Stop()
	var (
		token *Token
		cred  *Credential
		err   error = errFlightAbandoned
	)
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
		c.land(e, f, token, cred, err)
	}()
	token, cred, err = c.fetch(ctx, &e.key, refused)
}

// explained adds to an error that has it not what was being done.
func (c *cache) explained(key *Request, err error) error {
	switch err.(type) {
	case nil, *Error, *fetchError, *exchangeError, *FieldError:
		return err
	}
	if err == errCredentialUnchanged {
		return err
	}
	return &fetchError{request: c.about(key), err: err}
}

// panicError says that foreign code panicked, and not with what: the value may
// hold a secret.
func panicError(p any) error {
	return fmt.Errorf("the credential source, the signer or the HTTP client panicked with a %T", p)
}

func (c *cache) land(e *entry, f *flight, token *Token, cred *Credential, err error) {
	if !f.landed.CompareAndSwap(false, true) {
		return
	}
	f.token, f.err = token, c.explained(&e.key, err)
	now := time.Now()
	before := e.failure.Load() // only flights write it, and this is the only one
	var failed *failure
	if f.err != nil {
		failed = before.next(f.err, cred, now)
	}
	e.mu.Lock()
	asked := true // false: nothing was sent, the refusal that is remembered holds
	switch {
	case f.err == nil:
		e.failure.Store(nil)
		if age(f.token.sent, now) < f.token.expired {
			e.token.Store(f.token)
		}
	case errors.Is(f.err, errCredentialUnchanged) && before != nil:
		asked = false
		f.err = before.err
	default:
		e.failure.Store(failed)
	}
	e.flight.Store(nil)
	e.mu.Unlock()
	if asked {
		c.count(f, now)
	}
	c.settle(e, now)
	close(f.done)
	if asked && f.background && f.err != nil && before == nil {
		c.log.Warn("maskinporten: a token could not be refreshed; the one at hand stays in use while it lives",
			"request", e.key, "error", f.err.Error())
	}
}

// next is the failure after f (which may be nil): its pause is twice as long
// if it is of the same kind.
func (f *failure) next(err error, cred *Credential, now time.Time) *failure {
	n := &failure{err: err, credential: cred, at: now, temporary: temporary(err)}
	first, longest := firstPause, longestPause
	if n.temporary {
		first, longest = firstTemporary, longestTemporary
	}
	n.pause = first
	if f != nil && f.temporary == n.temporary && (f.credential == cred || cred != nil && f.credential != nil && cred.same(f.credential)) {
		n.pause = min(2*f.pause, longest)
	}
	n.pause = max(n.pause, min(retryAfter(err), longestPause))
	return n
}

// wait ends with the flight or with ctx, whichever comes first. A caller for
// whom there is a token that still lives waits for half of what it has left:
// then the token is better than waiting on, for this caller and those who come.
func (c *cache) wait(ctx context.Context, e *entry, f *flight) (*Token, error) {
	c.waiters.Add(1)
	defer c.waiters.Add(-1)
	const worthwhile = time.Second // to call an API with
	var enough <-chan struct{}
	if t := e.living(); t != nil {
		if left := t.lifetime - age(t.sent, time.Now()); left > worthwhile {
			half, cancel := context.WithTimeout(context.Background(), left/2)
			defer cancel()
			enough = half.Done()
		}
	}
	for {
		select {
		case <-f.done:
			if f.err == nil {
				return f.token, nil
			}
			if t := e.living(); t != nil {
				return t, nil
			}
			return nil, cloneError(f.err)
		case <-enough:
			if t := e.living(); t != nil {
				f.slow.Store(true)
				return t, nil
			}
			enough = nil // it was dropped meanwhile
		case <-ctx.Done():
			select {
			case <-f.done: // both: what came is looked at first
				continue
			default:
			}
			if t := e.living(); t != nil {
				return t, nil
			}
			return nil, c.waitError(e, ctx.Err())
		}
	}
}

// living is the token of e while it lives, for a caller to whom no better one
// can be had.
func (e *entry) living() *Token {
	if t := e.token.Load(); t != nil && age(t.sent, time.Now()) < t.lifetime {
		return t
	}
	return nil
}

func (c *cache) waitError(e *entry, err error) error {
	return fmt.Errorf("maskinporten: waiting for a %s: %w; the fetch goes on, for at most 30 seconds in all: give the context more time if this happens often", c.about(&e.key), err)
}

// invalidate drops exactly the token given.
func (c *cache) invalidate(access string) {
	c.all(func(e *entry) bool {
		t := e.token.Load()
		if t == nil || t.AccessToken() != access {
			return true
		}
		c.forget(e, t)
		return false
	})
}

// forget drops t, unless another token has come since.
func (c *cache) forget(e *entry, t *Token) bool {
	e.mu.Lock()
	dropped := e.token.CompareAndSwap(t, nil)
	e.mu.Unlock()
	if dropped {
		c.settle(e, time.Now())
	}
	return dropped
}

// Stats is a snapshot for metrics. Its counters count from New.
type Stats struct {
	Fetches   int64            // fetches that have ended, each of up to three attempts
	Refreshes int64            // those of them that nobody waited for
	Failures  map[string]int64 // those that failed, by MPCode, else OAuth code, else "exchange" (a TokenExchange), "unavailable" or "local"

	Entries int // keys held
	Waiters int // callers waiting for a token now

	LastSuccess time.Time
	LastFailure time.Time
	LastError   string    // what failed last; it holds nothing secret
	NotAfter    time.Time // when the certificate in use expires; zero for a bare key, and for a source not asked yet
}

// mostCodes bounds Stats.Failures: a server may make up codes.
const mostCodes = 50

func (c *cache) count(f *flight, now time.Time) {
	c.statsMu.Lock()
	defer c.statsMu.Unlock()
	c.stats.Fetches++
	if f.background {
		c.stats.Refreshes++
	}
	if f.err == nil {
		c.stats.LastSuccess = now
		return
	}
	code := failureCode(f.err)
	if len(c.stats.Failures) >= mostCodes && c.stats.Failures[code] == 0 {
		code = "other"
	}
	c.stats.Failures[code]++
	c.stats.LastFailure = now
	c.stats.LastError = f.err.Error()
}

func (c *cache) snapshot() Stats {
	c.statsMu.Lock()
	s := c.stats
	s.Failures = maps.Clone(s.Failures)
	c.statsMu.Unlock()
	s.Entries = c.len()
	s.Waiters = int(c.waiters.Load())
	return s
}

// failureCode returns what Stats counts err under.
func failureCode(err error) string {
	var refusal *Error
	switch {
	case errors.As(err, &refusal) && refusal.MPCode != "":
		return refusal.MPCode
	case errors.As(err, &refusal) && refusal.Code != "":
		return refusal.Code
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	}
	if exchange := (*exchangeError)(nil); errors.As(err, &exchange) {
		return "exchange"
	}
	return "local"
}
