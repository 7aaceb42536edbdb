package resourceserver

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/jws"
)

// keySet is the public keys at an environment's JWKS endpoint (RFC 7517).
// Finding a key that is known is an atomic load and a look at the clock.
type keySet struct {
	url  string
	http *http.Client

	current atomic.Pointer[keys]

	mu      sync.Mutex
	flight  *keyFlight
	failure *failure
	unknown time.Time // when an unknown kid was last looked for
}

// keys is the usable keys of one answer.
type keys struct {
	byID    map[string]*jws.Key
	fetched time.Time
}

// keyFlight is one fetch that any number of callers wait for. err is written
// before done is closed.
type keyFlight struct {
	done chan struct{}
	err  error
}

const (
	// keysFresh is how long Digdir advises to cache the keys.
	keysFresh = 24 * time.Hour

	// keysLast is how long they serve when no others can be fetched.
	keysLast = 48 * time.Hour

	// unknownPause keeps tokens with a made-up kid from becoming requests.
	unknownPause = time.Minute

	// A fetch that failed is not tried again for a while, which grows.
	firstPause = 100 * time.Millisecond
	maxPause   = time.Second

	fetchTimeout = 30 * time.Second

	maxKeys    = 100
	maxKeyBits = 8192 // bits: a larger one would be a way to make verifying slow
	minKeyBits = 2048
)

var (
	errUnknownKey = &tokenError{reason: "its key is not one of the environment's"}
	errAbandoned  = errors.New("the HTTP client ended the goroutine it was called on")
	base64url     = base64.RawURLEncoding.Strict()
)

// find is the key that kid names.
func (s *keySet) find(ctx context.Context, kid string) (*jws.Key, error) {
	if k := s.current.Load(); k != nil && age(k.fetched, time.Now()) < keysFresh {
		if key := k.byID[kid]; key != nil {
			return key, nil
		}
	}
	key, f, err := s.board(kid)
	if f == nil {
		return key, err
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("maskinporten: waiting for the key set: %w", ctx.Err())
	}
	return s.after(f, kid)
}

// board decides what a caller gets: a key, an error, or a flight to wait for.
func (s *keySet) board(kid string) (*jws.Key, *keyFlight, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	k := s.usable(now)
	key := k.get(kid)
	fresh := k != nil && age(k.fetched, now) < keysFresh
	late := key != nil && s.failure != nil // it is known that others cannot be had just now
	switch {
	case key != nil && fresh:
		return key, nil, nil
	case s.flight != nil:
	case s.failure.holds(now):
		if key == nil {
			return nil, nil, s.failure.err
		}
		return key, nil, nil
	case fresh && age(s.unknown, now) < unknownPause:
		return nil, nil, errUnknownKey
	default:
		if fresh {
			s.unknown = now
		}
		s.flight = &keyFlight{done: make(chan struct{}), err: errAbandoned}
		go s.fly(s.flight)
	}
	if late {
		return key, nil, nil
	}
	return nil, s.flight, nil
}

// after is the key for one who has waited for f.
func (s *keySet) after(f *keyFlight, kid string) (*jws.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	key := s.usable(now).get(kid)
	switch {
	case key != nil:
		return key, nil
	case f.err != nil:
		return nil, f.err
	}
	s.unknown = now
	return nil, errUnknownKey
}

// failure is remembered for a short while, so that callers are not each kept
// waiting for what is known to fail.
type failure struct {
	err   error
	at    time.Time
	pause time.Duration
}

func (f *failure) holds(now time.Time) bool { return f != nil && age(f.at, now) < f.pause }

// next returns the failure after f, which may be nil: its pause is twice as long.
func (f *failure) next(err error, now time.Time) *failure {
	pause := firstPause
	if f != nil {
		pause = min(2*f.pause, maxPause)
	}
	return &failure{err: err, at: now, pause: pause}
}

// age is how long ago sent was, by the clock that says more: the monotonic
// clock stands still while a machine is suspended, and the wall clock can be
// set back.
func age(sent, now time.Time) time.Duration {
	return max(now.Sub(sent), time.Duration(now.UnixNano()-sent.UnixNano()))
}

func (s *keySet) usable(now time.Time) *keys {
	if k := s.current.Load(); k != nil && age(k.fetched, now) < keysLast {
		return k
	}
	return nil
}

func (k *keys) get(kid string) *jws.Key {
	if k == nil {
		return nil
	}
	return k.byID[kid]
}

// fly fetches the keys. It belongs to no caller: it goes on when they have left.
func (s *keySet) fly(f *keyFlight) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	var fetched *keys
	defer func() {
		if p := recover(); p != nil {
			f.err = &keysError{url: s.url, err: fmt.Errorf("the HTTP client panicked with a %T", p)}
		}
		s.land(f, fetched)
	}()
	asked := time.Now()
	body, err := endpoint.Get(ctx, s.http, s.url)
	if err == nil {
		fetched, err = parseKeys(body)
	}
	if f.err = nil; err != nil {
		f.err = &keysError{url: s.url, err: err}
		return
	}
	fetched.fetched = asked
}

func (s *keySet) land(f *keyFlight, fetched *keys) {
	now := time.Now()
	s.mu.Lock()
	if f.err == nil {
		s.current.Store(fetched)
		s.failure = nil
	} else {
		s.failure = s.failure.next(f.err, now)
		if s.usable(now) != nil {
			s.failure.pause = unknownPause
		}
	}
	s.flight = nil
	s.mu.Unlock()
	close(f.done)
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

// parseKeys reads a JWK set. A key that this library has no use for is left
// out, and does not spoil the others.
func parseKeys(body []byte) (*keys, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New("the answer is not a JWK set")
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the answer holds %d keys: that is no key set of Maskinporten's", len(set.Keys))
	}
	k := &keys{byID: make(map[string]*jws.Key)}
	for _, raw := range set.Keys {
		kid, key := parseKey(raw)
		if _, twice := k.byID[kid]; key != nil && !twice {
			k.byID[kid] = key
		}
	}
	if len(k.byID) == 0 {
		return nil, errors.New("the answer holds no RSA key of 2048 bits or more that is for signing")
	}
	return k, nil
}

// parseKey is nil for a key that must not verify: of another kind or size, or
// meant for something else (RFC 7517 §4.2 and §4.4).
func parseKey(raw json.RawMessage) (kid string, key *jws.Key) {
	var jwk struct {
		Kty string `json:"kty"`
		Use string `json:"use"`
		Alg string `json:"alg"`
		Kid string `json:"kid"`
		N   string `json:"n"`
		E   string `json:"e"`
	}
	if json.Unmarshal(raw, &jwk) != nil || jwk.Kty != "RSA" || jwk.Kid == "" {
		return "", nil
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return "", nil
	}
	if jwk.Alg != "" && !jws.KnownAlgorithm(jwk.Alg) {
		return "", nil
	}
	modulus, err := base64url.DecodeString(jwk.N)
	if err != nil {
		return "", nil
	}
	exponent, err := base64url.DecodeString(jwk.E)
	if err != nil || len(exponent) > 4 {
		return "", nil
	}
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent).Int64()
	if bits := n.BitLen(); bits < minKeyBits || bits > maxKeyBits || n.Bit(0) == 0 {
		return "", nil
	}
	if e < 3 || e > 1<<31-1 || e%2 == 0 {
		return "", nil
	}
	return jwk.Kid, &jws.Key{RSA: &rsa.PublicKey{N: n, E: int(e)}, Alg: jwk.Alg}
}
