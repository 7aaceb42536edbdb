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

	"github.com/maskinporten-go/maskinporten/internal/redact"
	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

// TokenStore keeps tokens for several processes, so that replicas of a program
// fetch each token once and not once each. Package redisstore has one for
// Redis. A database or any other place that all replicas reach will do.
//
// A Client looks into it only when it has no fresh token of its own, and puts
// into it only what it has sealed: a store sees neither tokens nor whom they
// are for, and may be shared, dumped and backed up. Names are 43 letters,
// digits, - and _; they tell apart clients, environments and keys, so that one
// store serves any number of programs.
//
// A store may fail. It never makes a call fail, and an operation is not waited
// for longer than 100 ms, whether or not it obeys its context. Methods must be
// safe for concurrent use.
type TokenStore interface {
	// Get returns what Set has put under name, and how long it has left to
	// live by the store's clock. If there is nothing it returns ErrStoreMiss.
	Get(ctx context.Context, name string) (sealed []byte, left time.Duration, err error)

	// Set puts sealed under name for the time ttl, in place of what was there,
	// and ends a lease of that name.
	Set(ctx context.Context, name string, sealed []byte, ttl time.Duration) error

	// Delete removes name if it still holds exactly sealed; if it holds
	// anything else, or nothing, it does nothing.
	Delete(ctx context.Context, name string, sealed []byte) error

	// Lease reports whether the caller is now the one that fetches the token of
	// that name: true for the first that asks, and false for the others until
	// ttl has passed or Set has been called. It has no effect on Get.
	Lease(ctx context.Context, name string, ttl time.Duration) (won bool, err error)
}

// ErrStoreMiss is what a [TokenStore] returns for a name that it does not hold.
var ErrStoreMiss = errors.New("maskinporten: the store holds nothing under that name")

// sharedTokens is [Config].Store as a client's fetches use it.
type sharedTokens struct {
	store    TokenStore
	exchange *exchange
	guard    storeGuard // of the store
	signing  storeGuard // of the signer, which may hang or fail as well
	keys     atomic.Pointer[credentialKeys]

	mu       sync.Mutex
	leases   map[string]time.Time // those won, by name, and when they end
	requests map[StoreRequest]int64
}

type credentialKeys struct {
	credential *Credential
	*storeKeys
}

// StoreRequest is one kind of operation of a [TokenStore], and how it ended.
type StoreRequest struct {
	Operation string // get, set, delete or lease
	Result    string // hit, miss, unusable (get); won, lost (lease); ok (set, delete); error, skipped (all)
}

const (
	// storeSigning is for one signature more than without a store, once for
	// each credential. A key in a cloud may take some hundred milliseconds.
	storeSigning = time.Second

	// leasePatience is how long a call waits for another process to fetch.
	leasePatience = time.Second
)

// newSharedTokens returns nil for no store.
func newSharedTokens(store TokenStore, x *exchange) *sharedTokens {
	if store == nil {
		return nil
	}
	return &sharedTokens{
		store:    store,
		exchange: x,
		guard:    storeGuard{name: "the token store", timeout: storeTimeout, log: x.log},
		signing:  storeGuard{name: "signing for the token store", timeout: storeSigning, log: x.log},
		leases:   make(map[string]time.Time),
		requests: make(map[StoreRequest]int64),
	}
}

// look returns the token that another process has fetched for r, or nil if the
// caller is to fetch it. A call that has to wait for it anyway waits a little
// for a process that is about to have it. In the background nobody waits, and
// look reports that it is being fetched elsewhere.
//
// stale and rejected are the tokens, if any, in whose place another is wanted.
func (s *sharedTokens) look(ctx context.Context, r *Request, stale, rejected *Token, background bool) (t *Token, elsewhere bool) {
	keys := s.keysOf(ctx)
	if keys == nil {
		return nil, false
	}
	name := keys.name(r)
	find := func(ctx context.Context) (*Token, bool) { return s.find(ctx, keys, name, r, stale, rejected) }
	soon, cancel := context.WithTimeout(ctx, 2*storeTimeout)
	defer cancel()
	t, ok := find(soon)
	if t != nil || !ok {
		return t, false
	}
	if s.lease(soon, name) {
		// Between the two another may have put its token there, which ended
		// its lease.
		if t, _ = find(soon); t != nil {
			s.put(soon, r, t)
		}
		return t, false
	}
	if background {
		return nil, true
	}
	ctx, cancel = context.WithTimeout(ctx, leasePatience)
	defer cancel()
	for wait := 20 * time.Millisecond; t == nil && ok && ctx.Err() == nil; wait = min(2*wait, storeTimeout) {
		pause, cancel := context.WithTimeout(ctx, wait)
		<-pause.Done()
		cancel()
		t, ok = find(ctx)
	}
	return t, false
}

// keysOf returns the keys of the credential in use; nil if it cannot sign now,
// which the fetch will find out and explain.
func (s *sharedTokens) keysOf(ctx context.Context) *credentialKeys {
	cred, err := s.exchange.credential(ctx)
	if err != nil {
		return nil
	}
	if k := s.keys.Load(); k != nil && k.credential.same(cred) {
		return k
	}
	k, err := askStore(ctx, &s.signing, func(context.Context) (*credentialKeys, error) {
		if k := s.keys.Load(); k != nil && k.credential.same(cred) {
			return k, nil // another's fetch has made them meanwhile
		}
		keys, err := newStoreKeys(cred.key.Signer(), s.exchange.env.Issuer, s.exchange.clientID)
		if err != nil {
			return nil, err
		}
		k := &credentialKeys{cred, keys}
		s.keys.Store(k) // also if nobody waits any more
		return k, nil
	})
	if err != nil {
		return nil
	}
	return k
}

// find looks for a token that is better than those in whose place it is wanted.
// It reports whether the store has answered.
func (s *sharedTokens) find(ctx context.Context, keys *credentialKeys, name string, r *Request, stale, rejected *Token) (t *Token, ok bool) {
	type value struct {
		sealed []byte
		left   time.Duration
	}
	v, err := askStore(ctx, &s.guard, func(ctx context.Context) (v value, err error) {
		v.sealed, v.left, err = s.store.Get(ctx, name)
		return v, err
	})
	if err != nil {
		s.count("get", failedAs(err, "miss"))
		return nil, errors.Is(err, ErrStoreMiss)
	}
	stored, ok := keys.open(name, v.sealed)
	lifetime, left := time.Duration(stored.Lifetime)*time.Millisecond, stored.left(v.left, s.exchange.clock.ServerTime())
	if !ok || left <= 0 || s.exchange.checkSubject(stored.Access, r) != nil {
		s.count("get", "unusable")
		return nil, true
	}
	t = newToken(stored.Access, stored.Scope, time.Now().Add(left-lifetime), lifetime)
	t.times = t.times.Following()
	switch {
	case rejected != nil && rejected.AccessToken() == stored.Access:
		s.ask(ctx, "delete", func(ctx context.Context) error { return s.store.Delete(ctx, name, v.sealed) })
	case stale != nil && stale.AccessToken() == stored.Access:
	case left > lifetime-t.times.Expired && (stale == nil || left > lifetime-t.times.Stale):
		s.count("get", "hit")
		t.fromStore = true
		return t, true
	}
	s.count("get", "miss")
	return nil, true
}

// lease reports whether this process is to fetch the token of that name. That
// is also so when the store cannot say. A lease lasts for as long as a fetch
// may take: a process that has failed to fetch holds it still.
func (s *sharedTokens) lease(ctx context.Context, name string) bool {
	now := time.Now()
	s.mu.Lock()
	held := now.Before(s.leases[name])
	s.mu.Unlock()
	if held {
		return true
	}
	won, err := askStore(ctx, &s.guard, func(ctx context.Context) (bool, error) {
		return s.store.Lease(ctx, name, tokencache.Timeout)
	})
	switch {
	case err != nil:
		s.count("lease", failedAs(err, "error"))
		return true
	case !won:
		s.count("lease", "lost")
		return false
	}
	s.count("lease", "won")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases[name] = now.Add(tokencache.Timeout)
	looked := 0
	for name, end := range s.leases { // in random order; there are never many that have ended
		if looked++; looked > 4 {
			break
		}
		if !now.Before(end) {
			delete(s.leases, name)
		}
	}
	return true
}

// put gives a token to the other processes, and ends the lease.
func (s *sharedTokens) put(ctx context.Context, r *Request, t *Token) {
	keys := s.keys.Load()
	left := t.times.Left(tokencache.Now())
	if keys == nil || left <= 0 {
		return
	}
	name := keys.name(r)
	sealed, err := keys.seal(name, storedToken{
		Access:   t.AccessToken(),
		Scope:    t.scope,
		Lifetime: t.times.Lifetime.Milliseconds(),
		End:      s.exchange.clock.ServerTime().Add(left).UnixMilli(),
	})
	if err != nil {
		return
	}
	s.ask(ctx, "set", func(ctx context.Context) error { return s.store.Set(ctx, name, sealed, left) })
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.leases, name)
}

// ask is for an operation that returns nothing but an error.
func (s *sharedTokens) ask(ctx context.Context, name string, operation func(context.Context) error) {
	_, err := askStore(ctx, &s.guard, func(ctx context.Context) (struct{}, error) { return struct{}{}, operation(ctx) })
	s.count(name, failedAs(err, "ok"))
}

// failedAs returns the result of an operation that ended with err.
func failedAs(err error, otherwise string) string {
	switch {
	case err == nil, errors.Is(err, ErrStoreMiss):
		return otherwise
	case err == errStoreAway:
		return "skipped"
	}
	return "error"
}

func (s *sharedTokens) count(operation, result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[StoreRequest{operation, result}]++
}

// counts returns a copy of what was counted; nil without a store.
func (s *sharedTokens) counts() map[StoreRequest]int64 {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests)
}

// storeGuard stands between flights and a store, which may fail in any way
// there is: an operation that is not done in time is left behind, and a store
// that has failed is left alone for a pause that grows while it goes on failing.
type storeGuard struct {
	name    string // for the log
	timeout time.Duration
	log     *slog.Logger

	mu       sync.Mutex
	overdue  int           // operations left behind that have not returned
	answered time.Time     // when the store last answered in time
	resume   time.Time     // when the pause ends
	pause    time.Duration // the last one; zero once the store has answered
	probe    chan struct{} // closed when the operation that others wait for is over
	warned   time.Time     // when the last warning was logged
	silent   bool          // the pause was not warned of
}

const (
	storeTimeout = 100 * time.Millisecond

	// storeTrusted is how long a store that has answered is taken to work.
	// After that one operation goes ahead and others wait for how it fares, so
	// that a store which hangs holds one of them and not thousands.
	storeTrusted = time.Second

	minStorePause = 100 * time.Millisecond
	maxStorePause = 10 * time.Second

	// storeWarnings are at least this far apart: a store may fail in part, for
	// instance for want of a right to write, and answer in between.
	storeWarnings = 10 * time.Minute
)

var (
	errStoreAway    = errors.New("it is left alone for a while")
	errStoreTimeout = errors.New("it did not answer in time")
)

// askStore runs one operation of a store on a goroutine of its own and returns
// what it returned, or why there is nothing: errStoreAway if it was not asked.
func askStore[T any](ctx context.Context, g *storeGuard, operation func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	limited, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	probe, err := g.enter(limited)
	if err != nil {
		return *new(T), err
	}
	start, answers := time.Now(), make(chan answer, 1)
	go func() {
		a := answer{err: errors.New("it ended the goroutine it was called on")}
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: fmt.Errorf("it panicked with a %T", p)} // not with what: that may hold a secret
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			select {
			case answers <- a:
			default: // full: nobody waits any more
				g.overdue--
			}
		}()
		a.value, a.err = operation(limited)
	}()
	a := answer{err: errStoreTimeout}
	select {
	case a = <-answers:
	case <-limited.Done():
		g.mu.Lock()
		select {
		case a = <-answers:
		default:
			answers <- a
			g.overdue++
		}
		g.mu.Unlock()
	}
	if err := ctx.Err(); err != nil {
		g.leave(ctx, probe, start, errStoreAway) // the flight is over, of which the store is innocent
		return *new(T), err
	}
	g.leave(ctx, probe, start, a.err)
	return a.value, a.err
}

// enter waits until the store may be asked. The channel it returns, if not nil,
// is what others wait for meanwhile.
func (g *storeGuard) enter(ctx context.Context) (probe chan struct{}, err error) {
	for {
		g.mu.Lock()
		now := time.Now()
		switch {
		case g.overdue > 0, now.Before(g.resume):
			err = errStoreAway
		case g.pause == 0 && now.Sub(g.answered) < storeTrusted:
		case g.probe == nil:
			g.probe = make(chan struct{})
			probe = g.probe
		default:
			other := g.probe
			g.mu.Unlock()
			select {
			case <-other:
				continue
			case <-ctx.Done():
				return nil, errStoreAway
			}
		}
		g.mu.Unlock()
		return probe, err
	}
}

// leave takes note of how an operation fared, and says so when that changes.
// One that failed while others were answered says nothing of the store: a busy
// machine has such.
func (g *storeGuard) leave(ctx context.Context, probe chan struct{}, start time.Time, err error) {
	g.mu.Lock()
	now := time.Now()
	var failed, recovered bool
	switch {
	case err == nil, errors.Is(err, ErrStoreMiss):
		recovered = g.pause > 0 && !g.silent
		g.answered, g.pause = now, 0
	case err == errStoreAway, now.Before(g.resume), g.answered.After(start): // no verdict, or one that is known
	default:
		if g.pause == 0 {
			failed = g.warned.IsZero() || now.Sub(g.warned) >= storeWarnings
			g.silent = !failed
		}
		if failed {
			g.warned = now
		}
		g.pause = min(max(2*g.pause, minStorePause), maxStorePause)
		g.resume = now.Add(g.pause)
	}
	if probe != nil {
		g.probe = nil
		close(probe)
	}
	g.mu.Unlock()
	switch { // not under the lock: a log handler may ask for a token
	case failed:
		g.log.WarnContext(ctx, "maskinporten: "+g.name+" fails; tokens are fetched without the store until it answers", "error", redact.Clean(err.Error(), 200))
	case recovered:
		g.log.InfoContext(ctx, "maskinporten: "+g.name+" answers again")
	}
}
