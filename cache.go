package maskinporten

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

// cache is the tokens of a client, by the Request that each is for. It puts
// what a fetch comes to into the terms of internal/tokencache, and what that
// returns into errors for callers.
type cache struct {
	*tokencache.Cache[Request, Token]
	seed   maphash.Seed
	fetch  func(ctx context.Context, key *Request) (*Token, *Credential, error)
	about  func(key *Request) requestInfo
	static bool // the credential can never be another
	store  *sharedTokens
	trace  *Trace
	log    *slog.Logger

	statsMu sync.Mutex
	stats   Stats
}

type entry = tokencache.Entry[Request, Token]

const (
	// maxEntries bounds the memory at about 200 MiB. It holds five scopes for
	// each of twenty thousand customers, or a token of two minutes for each
	// person at eight hundred new persons a second.
	maxEntries = 100_000

	// maxFetches bounds the goroutines and the grants that wait to be signed.
	maxFetches = 1024

	// maxRetryAfter is how long a server can have itself left alone.
	maxRetryAfter = 30 * time.Second
)

func newCache(x *exchange, static bool, log *slog.Logger) *cache {
	c := &cache{fetch: x.fetch, about: x.requestInfo, static: static, log: log, seed: maphash.MakeSeed()}
	c.stats.Failures = make(map[string]int64)
	c.Cache = tokencache.New(tokencache.Options[Request, Token]{
		Hash:      func(r *Request) uint64 { return hashOf(c.seed, r) },
		Equal:     (*Request).same,
		Times:     func(t *Token) *tokencache.Times { return &t.times },
		Secret:    (*Token).AccessToken,
		Start:     c.start,
		Fetch:     c.run,
		SameCause: func(a, b any) bool { return a.(*Credential).same(b.(*Credential)) },
		CauseChanged: func(ctx context.Context, refused *tokencache.Failure) bool {
			cred, err := x.credential(withoutHooks(ctx))
			return err == nil && !cred.same(refused.Cause.(*Credential))
		},
		Lost:    lostFetch,
		Count:   c.count,
		After:   c.after,
		Limit:   maxEntries,
		Flights: maxFetches,
	})
	return c
}

// find returns the entry of r, if there is one, without moving r to the heap.
func (c *cache) find(r *Request) *entry {
	return c.Find(hashOf(c.seed, r), func(key *Request) bool { return key.same(r) })
}

// get returns a token for key, or an error of the caller's own.
func (c *cache) get(ctx context.Context, key *Request) (tokencache.Result[Request, Token], error) {
	start := time.Now()
	r, err := c.Get(ctx, key)
	if err != nil {
		err = c.explain(key, err)
	}
	if r.Waited != nil && c.trace != nil && c.trace.Waited != nil {
		c.trace.Waited(ctx, traceOf(*r.Waited), time.Since(start), err)
	}
	return r, err
}

// explain returns err, which Get has returned, as one for a caller.
func (c *cache) explain(key *Request, err error) error {
	var wait *tokencache.WaitError
	if errors.As(err, &wait) {
		return &waitError{request: c.about(key), others: wait.Busy, late: wait.Late, err: wait.Err}
	}
	return cloneError(c.annotate(key, err))
}

func traceOf(f tokencache.Flight[Request]) Fetch {
	return Fetch{ID: f.ID, Request: *f.Key, Background: f.Background}
}

// waitError is a wait for a token that ended with the caller's context.
type waitError struct {
	request requestInfo
	others  int  // being fetched, if there were too many to begin with this one
	late    bool // the context had ended before, and nothing was begun
	err     error
}

func (e *waitError) Error() string {
	if e.others > 0 {
		return fmt.Sprintf("maskinporten: waiting for a %s while %d others are fetched: %v; ask for fewer at a time, as Prefetch does, or give the context more time", e.request, e.others, e.err)
	}
	if e.late {
		return fmt.Sprintf("maskinporten: %s: %v before it was asked for: none is at hand, and nothing was begun", e.request, e.err)
	}
	return fmt.Sprintf("maskinporten: waiting for a %s: %v; the fetch goes on, for at most 30 seconds in all: give the context more time if this happens often", e.request, e.err)
}

func (e *waitError) Unwrap() error { return e.err }

// Is makes it an ErrNoToken.
func (e *waitError) Is(target error) bool { return target == ErrNoToken }

// start tells the trace of a fetch, and of its end.
func (c *cache) start(ctx context.Context, f tokencache.Flight[Request]) (context.Context, func(*Token, *tokencache.Failure)) {
	ctx, done := c.trace.startFetch(withoutHooks(ctx), traceOf(f))
	return ctx, func(t *Token, failed *tokencache.Failure) {
		var err error
		if failed != nil && failed != tokencache.Postponed {
			err = c.annotate(f.Key, failed.Err)
		}
		done(t != nil && t.fromStore, err)
	}
}

// run is one fetch.
func (c *cache) run(ctx context.Context, f tokencache.Flight[Request]) (*Token, *tokencache.Failure) {
	token, cred, err := c.lookOrFetch(ctx, f)
	switch {
	case err == nil:
		return token, nil
	case err == errElsewhere:
		return nil, tokencache.Postponed
	case f.Previous != nil && (nothingSent(err) || err == f.Previous.Err):
		return nil, f.Previous
	}
	failed := &tokencache.Failure{
		Err:        c.annotate(f.Key, err),
		Temporary:  temporary(err),
		RetryAfter: min(retryAfter(err), maxRetryAfter),
	}
	if cred != nil && !c.static {
		failed.Cause = cred
	}
	return nil, failed
}

// lookOrFetch asks the store, if there is one, and else Maskinporten.
func (c *cache) lookOrFetch(ctx context.Context, f tokencache.Flight[Request]) (*Token, *Credential, error) {
	if c.store != nil {
		held, dropped := c.Replaced(f.Key)
		token, elsewhere := c.store.look(ctx, f.Key, held, dropped, f.Background)
		switch {
		case token != nil:
			return token, nil, nil
		case elsewhere:
			return nil, nil, errElsewhere
		}
	}
	return c.fetch(ctx, f.Key)
}

var errElsewhere = errors.New("another process is fetching the token")

// lostFetch is the failure of a fetch that foreign code made nothing of.
func lostFetch(err error) *tokencache.Failure {
	if errors.Is(err, tokencache.ErrDead) {
		return &tokencache.Failure{Err: errDeadOnArrival, Temporary: true}
	}
	return &tokencache.Failure{
		Err:       fmt.Errorf("the credential source, the signer or the HTTP client %w", err),
		Temporary: true,
	}
}

var errDeadOnArrival = errors.New("twice in a row the token had expired when it came: the way to the token endpoint takes longer than its tokens live, or the machine was suspended")

// annotate returns err with what was being done, unless it says so already.
func (c *cache) annotate(key *Request, err error) error {
	switch err.(type) {
	case *Error, *fetchError, *exchangeError, *FieldError:
		return err
	}
	return &fetchError{request: c.about(key), err: err}
}

// after gives a token to the store, and says that one could not be refreshed,
// once and not for each attempt.
func (c *cache) after(ctx context.Context, o tokencache.Outcome[Request, Token]) {
	if o.Failure == nil && c.store != nil && !o.Value.fromStore {
		c.store.put(ctx, o.Flight.Key, o.Value)
	}
	if o.Failure != nil && o.Flight.Background && !o.Repeated {
		c.log.WarnContext(ctx, "maskinporten: a token could not be refreshed; the one at hand stays in use while it lives",
			"request", *o.Flight.Key, "error", c.annotate(o.Flight.Key, o.Failure.Err).Error())
	}
}

// reportUnauthorized is told that an API rejected t. It reports whether to try
// again with the token that is next.
func (c *cache) reportUnauthorized(ctx context.Context, e *entry, t *Token, justFetched bool) (again bool) {
	verdict := c.Reject(e, t, justFetched)
	if verdict.Exhausted {
		c.log.WarnContext(ctx, "maskinporten: the API answers 401 to new tokens too, so it is not the token's age: check its environment, scope and the customer's access. A new token is fetched once in 30 seconds at most",
			"request", *e.Key())
	}
	return verdict.Again
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
	NotAfter    time.Time // when the credential in use expires; zero for one that does not say, and for a source not asked yet

	Credential *Credential   // that was asked to sign last; nil if none was
	ClockSkew  time.Duration // Maskinporten's clock minus this machine's, as the last answer showed it

	// StoreRequests is how often Config.Store was asked for what; nil without
	// one. FromStore of Fetches brought a token from there.
	StoreRequests map[StoreRequest]int64
	FromStore     int64
}

// MarshalText is for JSON, in which the keys of a map are texts: get.hit.
func (r StoreRequest) MarshalText() ([]byte, error) { return []byte(r.Operation + "." + r.Result), nil }

// maxCodes bounds Stats.Failures: a server may make up codes.
const maxCodes = 50

func (c *cache) count(o tokencache.Outcome[Request, Token]) {
	now := time.Now()
	c.statsMu.Lock()
	defer c.statsMu.Unlock()
	c.stats.Fetches++
	if o.Flight.Background {
		c.stats.Refreshes++
	}
	if o.Failure == nil {
		if o.Value.fromStore {
			c.stats.FromStore++
		}
		c.stats.LastSuccess = now
		return
	}
	err := c.annotate(o.Flight.Key, o.Failure.Err)
	code := failureCode(err)
	if len(c.stats.Failures) >= maxCodes && c.stats.Failures[code] == 0 {
		code = "other"
	}
	c.stats.Failures[code]++
	c.stats.LastFailure = now
	c.stats.LastError = err.Error()
}

func (c *cache) snapshot() Stats {
	c.statsMu.Lock()
	s := c.stats
	s.Failures = maps.Clone(s.Failures)
	c.statsMu.Unlock()
	s.Entries = c.Len()
	s.Waiters = c.Waiters()
	s.StoreRequests = c.store.counts()
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
