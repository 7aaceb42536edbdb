package resourceserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/jws"
	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

// keySet is the public keys at an environment's JWKS endpoint (RFC 7517), kept
// in a cache that holds this one value. Finding a key that is known is an
// atomic load and a look at the clock.
type keySet struct {
	url   string
	http  *http.Client
	cache *tokencache.Cache[struct{}, keys]
	entry atomic.Pointer[tokencache.Entry[struct{}, keys]]

	refetches bucket // guarded by the lock of entry
}

// keys is the usable keys of one answer.
type keys struct {
	byID  map[string]*jws.Key
	asked time.Time
	times tokencache.Times
}

const (
	// keysStale is how long Digdir advises to cache the keys. From then on the
	// keys at hand serve while others are fetched.
	keysStale = 24 * time.Hour

	// keysExpired is how long they serve when no others can be fetched.
	keysExpired = 48 * time.Hour

	// pauseWithKeys is the least pause after a fetch that failed while there
	// are keys that serve.
	pauseWithKeys = 10 * time.Second
)

var errUnknownKey = &tokenError{reason: "its key is not one of the environment's"}

func newKeySet(url string, hc *http.Client) *keySet {
	s := &keySet{url: url, http: hc}
	s.cache = tokencache.New(tokencache.Options[struct{}, keys]{
		Hash:    func(*struct{}) uint64 { return 0 },
		Equal:   func(_, _ *struct{}) bool { return true },
		Times:   func(k *keys) *tokencache.Times { return &k.times },
		Fetch:   s.fetch,
		Lost:    func(err error) *tokencache.Failure { return s.failure(fmt.Errorf("the HTTP client %w", err), 0) },
		Limit:   1,
		Flights: 1,
	})
	return s
}

// find returns the key that kid names.
//
// That a key is unknown is said only after the set has been asked for since
// the token came. Where that cannot be, because strangers with made-up kids
// have used up what there is to ask, the error is no verdict on the token.
func (s *keySet) find(ctx context.Context, kid string) (*jws.Key, error) {
	if e := s.entry.Load(); e != nil {
		if k := s.cache.Hit(e); k != nil && k.byID[kid] != nil {
			return k.byID[kid], nil
		}
	}
	came := time.Now()
	got, err := s.cache.Get(ctx, &struct{}{})
	if err != nil {
		return nil, s.explain(err)
	}
	s.entry.Store(got.Entry)
	k := got.Value
	for looked := got.Waited != nil; ; looked = true {
		if key := k.byID[kid]; key != nil {
			return key, nil
		}
		if looked && !k.asked.Before(came) {
			return nil, errUnknownKey
		}
		if k, err = s.cache.Refetch(ctx, &struct{}{}, k, s.mayRefetch); err != nil {
			return nil, s.explain(err)
		}
	}
}

// mayRefetch bounds what made-up kids become. The cache asks it with the
// entry's lock held, and only when no fetch is under way that could be joined.
func (s *keySet) mayRefetch() error {
	if s.refetches.take(time.Now()) {
		return nil
	}
	return &keysError{url: s.url, err: errors.New("they have been asked for too often just now, for tokens by unknown keys; the next time is soon")}
}

// fetch gets the keys. It takes nothing of the context of the caller whose
// token happened to come first.
func (s *keySet) fetch(_ context.Context, f tokencache.Flight[struct{}]) (*keys, *tokencache.Failure) {
	ctx, cancel := context.WithTimeout(context.Background(), tokencache.Timeout)
	defer cancel()
	asked := time.Now()
	body, err := endpoint.Get(ctx, s.http, s.url)
	var byID map[string]*jws.Key
	if err == nil {
		byID, err = parseKeys(body)
	}
	switch {
	case err == nil:
		times := tokencache.Times{Sent: tokencache.At(asked), Stale: keysStale, Expired: keysExpired, Lifetime: keysExpired}
		return &keys{byID: byID, asked: asked, times: times}, nil
	case f.Background:
		return nil, s.failure(err, pauseWithKeys)
	}
	return nil, s.failure(err, 0)
}

func (s *keySet) failure(err error, pause time.Duration) *tokencache.Failure {
	return &tokencache.Failure{Err: &keysError{url: s.url, err: err}, Temporary: true, RetryAfter: pause}
}

// explain adds to the end of a wait what was waited for.
func (s *keySet) explain(err error) error {
	var wait *tokencache.WaitError
	if errors.As(err, &wait) {
		return fmt.Errorf("maskinporten: waiting for the keys at %s: %w", s.url, wait.Err)
	}
	return err
}

// keysError is a key set that could not be had. It is no verdict on a token.
type keysError struct {
	url string
	err error
}

func (e *keysError) Error() string {
	return fmt.Sprintf("maskinporten: fetching the keys at %s: %v", e.url, e.err)
}

func (e *keysError) Unwrap() error { return e.err }

// Is makes it ErrUnavailable.
func (e *keysError) Is(target error) bool { return target == maskinporten.ErrUnavailable }

// bucket allows a burst of fetches for unknown kids, and one more in each
// interval. Whoever makes the set be fetched does so for all: a stranger who
// empties the bucket delays tokens by a new key for no longer than that.
type bucket struct {
	taken int
	since time.Time // when it last gained one, or was full
}

const (
	maxRefetches    = 3
	refetchInterval = 10 * time.Second
)

func (b *bucket) take(now time.Time) bool {
	gained := int(min(now.Sub(b.since)/refetchInterval, maxRefetches))
	if b.taken = max(b.taken-gained, 0); b.taken == 0 {
		b.since = now
	} else {
		b.since = b.since.Add(time.Duration(gained) * refetchInterval)
	}
	if b.taken == maxRefetches {
		return false
	}
	b.taken++
	return true
}
