package maskinporten

import (
	"context"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
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

// storeKeys name and seal the tokens of one client with one credential. Whoever
// can sign with its key could fetch the tokens anyway, so that opening a stored
// one takes nothing that a thief of the key does not have, and there is no
// second secret to keep.
type storeKeys struct {
	secret []byte // pseudorandom key of HKDF (RFC 5869)
	naming []byte
}

// storeVersion is the first byte of what is sealed. A change to what is below
// needs another.
const storeVersion = 1

// storeLabel begins what is signed to get a secret. Its blanks and NUL byte
// stand in no JWS (RFC 7515 §5.1), so that no grant's signature is this one.
const storeLabel = "maskinporten token store\x00"

// newStoreKeys signs: RSASSA-PKCS1-v1_5 is deterministic (RFC 8017 §8.2.1), so
// that every process with the same key gets the same secret. The signature is
// verified, since a signer that returns anything else would make a secret
// that others might guess.
func newStoreKeys(signer crypto.Signer, issuer, clientID string) (*storeKeys, error) {
	digest := sha256.Sum256([]byte(storeLabel + issuer + "\x00" + clientID))
	signature, err := signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("signing for the token store: %w", err)
	}
	public, ok := signer.Public().(*rsa.PublicKey)
	if !ok || rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], signature) != nil {
		return nil, errors.New("signing for the token store: the signer's signature does not verify")
	}
	secret, err := hkdf.Extract(sha256.New, signature, nil)
	if err != nil {
		return nil, err
	}
	naming, err := hkdf.Expand(sha256.New, secret, "name", sha256.Size)
	if err != nil {
		return nil, err
	}
	return &storeKeys{secret, naming}, nil
}

// name is where the token of a normalized request is kept. Without the key it
// says nothing about the request, and a guess cannot be checked.
func (k *storeKeys) name(r *Request) string {
	mac := hmac.New(sha256.New, k.naming)
	for _, f := range r.fields() {
		for _, part := range []string{f.Key, f.Value.String()} {
			mac.Write(binary.AppendUvarint(nil, uint64(len(part))))
			mac.Write([]byte(part))
		}
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// aead is AES-256-GCM under a key for this name alone, with a random nonce: one
// name is sealed once in a token's lifetime, far from where nonces collide.
func (k *storeKeys) aead(name string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, k.secret, "value\x00"+string(rune(storeVersion))+name, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// storedToken is what is sealed. Times are in milliseconds.
type storedToken struct {
	Access   string `json:"access_token"`
	Scope    string `json:"scope"`
	Lifetime int64  `json:"lifetime"`
	End      int64  `json:"end"` // Unix time by Maskinporten's clock
}

// seal encrypts t for name. Version and name are authenticated along with it,
// so that a value moved to another name does not open.
func (k *storeKeys) seal(name string, t storedToken) ([]byte, error) {
	plain, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	aead, err := k.aead(name)
	if err != nil {
		return nil, err
	}
	return aead.Seal([]byte{storeVersion}, nil, plain, additionalData(name)), nil
}

func additionalData(name string) []byte { return append([]byte{storeVersion}, name...) }

// open reports whether sealed is a token that seal has sealed for name, and
// returns it. Anything may stand in a store.
func (k *storeKeys) open(name string, sealed []byte) (t storedToken, ok bool) {
	const maxSealed = 2 << 20 // twice what an answer may be
	if len(sealed) == 0 || len(sealed) > maxSealed || sealed[0] != storeVersion {
		return storedToken{}, false
	}
	aead, err := k.aead(name)
	if err != nil {
		return storedToken{}, false
	}
	plain, err := aead.Open(nil, nil, sealed[1:], additionalData(name))
	if err != nil || json.Unmarshal(plain, &t) != nil {
		return storedToken{}, false
	}
	const day = int64(24 * time.Hour / time.Millisecond)
	return t, t.Access != "" && visibleASCII(t.Access) && t.Lifetime > 0 && t.Lifetime <= day
}

// left is what t has to live: the least of what the store says, the lifetime,
// and the end that Maskinporten set, which a replayed value has passed.
func (t *storedToken) left(byStore time.Duration, now time.Time) time.Duration {
	end := time.UnixMilli(t.End).Sub(now)
	return min(byStore, time.Duration(t.Lifetime)*time.Millisecond, end)
}

// storeGuard stands between flights and a store, which may fail in any way
// there is: an operation that is not done in time is left behind, and a store
// that has failed is left alone for a pause that grows while it goes on failing.
type storeGuard struct {
	log *slog.Logger

	mu       sync.Mutex
	overdue  int           // operations left behind that have not returned
	answered time.Time     // when the store last answered in time
	resume   time.Time     // when the pause ends
	pause    time.Duration // the last one; zero once the store has answered
	probe    chan struct{} // closed when the operation that others wait for is over
}

const (
	storeTimeout = 100 * time.Millisecond

	// storeTrusted is how long a store that has answered is taken to work.
	// After that one operation goes ahead and others wait for how it fares, so
	// that a store which hangs holds one of them and not thousands.
	storeTrusted = time.Second

	minStorePause = 100 * time.Millisecond
	maxStorePause = 10 * time.Second
)

var (
	errStoreAway    = errors.New("the token store is left alone for a while")
	errStoreTimeout = fmt.Errorf("no answer within %v", storeTimeout)
)

// askStore runs one operation of a store on a goroutine of its own and returns
// what it returned, or why there is nothing: errStoreAway if it was not asked.
func askStore[T any](ctx context.Context, g *storeGuard, operation func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	limited, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	probe, err := g.enter(limited)
	if err != nil {
		return *new(T), err
	}
	answers := make(chan answer, 1)
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
		g.leave(probe, errStoreAway) // the flight is over, of which the store is innocent
		return *new(T), err
	}
	g.leave(probe, a.err)
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
func (g *storeGuard) leave(probe chan struct{}, err error) {
	g.mu.Lock()
	now := time.Now()
	var failed, recovered bool
	switch {
	case err == nil, errors.Is(err, ErrStoreMiss):
		recovered = g.pause > 0
		g.answered, g.pause = now, 0
	case err == errStoreAway, now.Before(g.resume): // no verdict, or one that is known
	default:
		failed = g.pause == 0
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
		g.log.Warn("maskinporten: the token store fails; tokens are fetched without it until it answers", "error", redact.Clean(err.Error(), 200))
	case recovered:
		g.log.Info("maskinporten: the token store answers again")
	}
}
