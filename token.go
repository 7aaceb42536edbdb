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
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/maskinporten-go/maskinporten/internal/redact"
	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

// Token is an access token. It is immutable and safe for concurrent use, and
// printing, logging or marshalling it shows no secret: only
// [Token.AccessToken] and [Token.OAuth2] do.
type Token struct {
	// bearer returns the Authorization header's value. It is a func because
	// printers that go by reflection, as tests' do, see into unexported fields
	// and follow pointers, but cannot see what a closure holds.
	bearer func() string
	scope  string
	times  tokencache.Times // counted from when the grant was sent

	fromStore bool // another process fetched it, some time ago
}

const (
	bearerPrefix = "Bearer "

	// maxLifetime is what a longer lifetime counts as.
	maxLifetime = 24 * time.Hour
)

func newToken(access, scope string, sent time.Time, lifetime time.Duration) *Token {
	bearer := bearerPrefix + access
	return &Token{
		bearer: func() string { return bearer },
		scope:  scope,
		times:  tokencache.NewTimes(tokencache.At(sent), min(lifetime, maxLifetime)),
	}
}

// AccessToken returns the secret itself. Like the other methods, it gives the
// zero value for a nil Token.
func (t *Token) AccessToken() string {
	if t == nil || t.bearer == nil {
		return "" // no token
	}
	return t.bearer()[len(bearerPrefix):]
}

// Expiry returns when the token expires, by this machine's clock: its lifetime
// counted from when its grant was sent, so that a clock that is off does no
// harm. It is at most a day away.
func (t *Token) Expiry() time.Time {
	if t == nil || t.bearer == nil {
		return time.Time{}
	}
	return t.times.Sent.Wall().Add(t.times.Lifetime)
}

// Scope returns what was granted, separated by spaces.
func (t *Token) Scope() string {
	if t == nil {
		return ""
	}
	return t.scope
}

// OAuth2 returns a copy for golang.org/x/oauth2. It shows its secret when printed.
// That of a nil Token is not [oauth2.Token.Valid].
func (t *Token) OAuth2() *oauth2.Token { return t.oauth2(t.Expiry()) }

func (t *Token) oauth2(expiry time.Time) *oauth2.Token {
	return &oauth2.Token{AccessToken: t.AccessToken(), TokenType: "Bearer", Expiry: expiry}
}

// String shows the scope and the expiry.
func (t Token) String() string {
	if t.bearer == nil {
		return "Token{}"
	}
	return fmt.Sprintf("Token{Scope: %q, Expiry: %s}", t.scope, t.Expiry().UTC().Format(time.RFC3339))
}

// GoString is String: %#v shows no secret either.
func (t Token) GoString() string { return t.String() }

// Format makes every verb print what String does.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.String()) }

// LogValue shows the scope and the expiry.
func (t Token) LogValue() slog.Value {
	return slog.GroupValue(slog.String("scope", t.scope), slog.Time("expiry", t.Expiry()))
}

// MarshalJSON shows the scope and the expiry.
func (t Token) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Scope  string    `json:"scope"`
		Expiry time.Time `json:"expiry"`
	}{t.scope, t.Expiry()})
}

// TokenSource hands out the tokens of one Request, validated once. It is an
// [oauth2.TokenSource], costs no I/O to make and shares the tokens of its
// client. It is safe for concurrent use.
//
// Given to oauth2.NewClient, its tokens go to whatever host that client is asked
// to call. [Transport] sends them only to the hosts it was made for. And that
// client keeps a token that an API has revoked, for up to 111 seconds of the
// 120 that one lives, whatever is done here: it does not ask before. Transport
// gets another at the first 401.
type TokenSource struct {
	cache *cache
	key   Request
	entry atomic.Pointer[entry]
}

// TokenContext returns what [Client.Token] does. While a token is at hand
// that takes an atomic load and a look at the clock.
func (s *TokenSource) TokenContext(ctx context.Context) (*Token, error) {
	t, _, err := s.get(ctx)
	return t, err
}

// get also reports whether the token was fetched while the call waited for it.
func (s *TokenSource) get(ctx context.Context) (t *Token, justFetched bool, err error) {
	if s == nil || s.cache == nil {
		return nil, false, notMade("TokenSource", "Client.TokenSource")
	}
	if e := s.entry.Load(); e != nil {
		if t := s.cache.Hit(e); t != nil {
			return t, false, nil
		}
	}
	r, err := s.cache.get(ctx, &s.key)
	if r.Entry != nil {
		s.entry.Store(r.Entry)
	}
	return r.Value, r.Waited != nil && err == nil && !r.Value.fromStore, err
}

// reportUnauthorized is told that an API rejected t, and reports whether to try
// again.
func (s *TokenSource) reportUnauthorized(ctx context.Context, t *Token, justFetched bool) (again bool) {
	return s.cache.reportUnauthorized(ctx, s.entry.Load(), t, justFetched)
}

// Token is for code that knows only [oauth2.TokenSource]: a copy of the
// caller's own, without a context, so a wait ends only with the fetch (30
// seconds at most).
//
// Its Expiry is the token's, save while the token is fresh: then it is ten
// seconds after the time to look for another, because
// [oauth2.ReuseTokenSource], which x/oauth2 wraps around every source, asks
// again ten seconds before the Expiry it sees. So it asks while the token
// still lives, and none of its callers waits.
func (s *TokenSource) Token() (*oauth2.Token, error) {
	t, err := s.TokenContext(context.Background())
	if err != nil {
		return nil, err
	}
	const expiryDelta = 10 * time.Second // x/oauth2's defaultExpiryDelta
	if t.times.Fresh(tokencache.Now()) {
		return t.oauth2(t.times.Sent.Wall().Add(t.times.Stale + expiryDelta)), nil
	}
	return t.OAuth2(), nil
}

// String names the request, and hides a person.
func (s *TokenSource) String() string {
	if s == nil {
		return "TokenSource{}"
	}
	return "TokenSource{" + strings.TrimPrefix(s.key.String(), "Request{")
}

// Format makes every verb print what String does.
func (s *TokenSource) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// A TokenExchange trades a Maskinporten token for another that some APIs want,
// as Altinn's (package altinn) does. Give it to [Client.WithExchange].
//
// Exchange is called with a token for r and with the Client's copy of
// [Config.HTTPClient], which follows no redirects. It must end with ctx, which
// ends 30 seconds after the fetch began, and be safe for concurrent use. It
// tries again by itself what may fare better at once.
//
// Its errors say what comes next: on one that errors.Is finds [ErrTokenRejected]
// in, the Maskinporten token is dropped and Exchange called once more with a new
// one; one with [ErrUnavailable], an ended context or a network error in it may
// pass soon; any other is remembered as a refusal, for a second at first and up
// to 30 seconds. An error with a method RetryAfter() time.Duration is remembered
// at least that long. An error may not hold the token, in its text or in what it
// unwraps to; if it does, the text is cleaned and the rest thrown away.
//
// A TokenExchange that can be checked beforehand has a method Validate() error:
// its error is every call's, and nothing is sent.
type TokenExchange interface {
	Exchange(ctx context.Context, hc *http.Client, t *Token, r Request) (ExchangedToken, error)
}

// ExchangedToken is what a [TokenExchange] got. Printed or logged, it shows no
// token.
type ExchangedToken struct {
	AccessToken string
	Lifetime    time.Duration // from when Exchange was called
}

// String shows the lifetime.
func (t ExchangedToken) String() string {
	return fmt.Sprintf("ExchangedToken{Lifetime: %s}", t.Lifetime)
}

// Format makes every verb print what String does.
func (t ExchangedToken) Format(f fmt.State, _ rune) { fmt.Fprint(f, t.String()) }

// LogValue is what String prints.
func (t ExchangedToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON shows the lifetime, in seconds.
func (t ExchangedToken) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, `{"lifetime":%v}`, t.Lifetime.Seconds()), nil
}

type noExchange struct{}

func (noExchange) Validate() error {
	return invalid("TokenExchange", "is nil: give one to WithExchange, such as altinn.Prod")
}

func (noExchange) Exchange(context.Context, *http.Client, *Token, Request) (ExchangedToken, error) {
	return ExchangedToken{}, noExchange{}.Validate()
}

// trade fetches exchanged tokens for a cache.
type trade struct {
	by   TokenExchange
	from *Client
}

// fetch gets a Maskinporten token for r and trades it. One that the other side
// rejects is dropped, and the next one tried.
func (x *trade) fetch(ctx context.Context, r *Request) (*Token, *Credential, error) {
	if v, ok := x.by.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, nil, x.wrapError(r, nil, err)
		}
	}
	tokens := x.from.cache
	for replaced := false; ; replaced = true {
		got, err := tokens.Get(ctx, r)
		if err != nil {
			return nil, x.from.exchange.lastCredential(), err
		}
		t, sent := got.Value, time.Now()
		exchanged, err := x.by.Exchange(ctx, x.from.exchange.http, t, *r)
		if err == nil {
			err = exchanged.check()
		}
		if err == nil {
			err = x.from.exchange.checkSubject(exchanged.AccessToken, r)
		}
		if err == nil {
			return newToken(exchanged.AccessToken, t.scope, sent, exchanged.Lifetime), nil, nil
		}
		if replaced || !errors.Is(err, ErrTokenRejected) || !tokens.reportUnauthorized(ctx, got.Entry, t, false) {
			return nil, nil, x.wrapError(r, t, err)
		}
	}
}

// check finds what must not become a token: it will be a header, and live for a
// time.
func (t ExchangedToken) check() error {
	switch {
	case t.AccessToken == "":
		return errors.New("the exchange gave no token")
	case !visibleASCII(t.AccessToken):
		return errors.New("the exchanged token holds a space, a line break or a character outside ASCII")
	case t.Lifetime <= 0:
		return fmt.Errorf("the exchanged token lives %s", t.Lifetime)
	}
	return nil
}

// requestInfo names the exchange if that has a name.
func (x *trade) requestInfo(r *Request) requestInfo {
	info := x.from.cache.about(r)
	if name, ok := x.by.(fmt.Stringer); ok {
		info.exchange = name.String()
	} else {
		info.exchange = fmt.Sprintf("%T", x.by)
	}
	return info
}

// wrapError returns err, from the exchange of t, as one that holds no secret
// and says what was being done, unless its text does.
func (x *trade) wrapError(r *Request, t *Token, err error) error {
	var field *FieldError
	if errors.As(err, &field) && field.err == nil {
		return field
	}
	secrets := r.persons()
	if t != nil {
		secrets = append(secrets, t.AccessToken())
	}
	text := strings.TrimPrefix(redact.Clean(err.Error(), 2000, secrets...), "maskinporten: ")
	if !strings.Contains(text, fmt.Sprintf("scope %q", r.Scope)) {
		text = fmt.Sprintf("%s: %s", x.requestInfo(r), text)
	}
	text = "maskinporten: " + text
	failed := &exchangeError{text: text, err: redact.Error(err, secrets...)}
	var network net.Error
	failed.temporary = errors.Is(err, ErrUnavailable) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
	var paced interface{ RetryAfter() time.Duration }
	if errors.As(err, &paced) {
		failed.retryAfter = paced.RetryAfter()
	}
	return failed
}

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
