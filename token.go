package maskinporten

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"
)

// Token is an access token. It is immutable and safe for concurrent use, and
// printing, logging or marshalling it shows no secret: only
// [Token.AccessToken] and [Token.OAuth2] do.
type Token struct {
	// bearer is the Authorization header's value. It stands behind a pointer
	// so that a print of a struct holding a Token shows an address.
	bearer *string
	scope  string

	sent     time.Time     // when the grant was sent, on both clocks
	lifetime time.Duration // from sent
	stale    time.Duration // age from which another is fetched in the background
	expired  time.Duration // age from which it is not handed out while another can be had
}

const bearerPrefix = "Bearer "

// newToken sets the ages at which a token passes from fresh to stale to
// expired: fractions of its lifetime, so that a token of one second is not
// fetched anew on every call. Jitter keeps a fleet that started together from
// refreshing together.
func newToken(access, scope string, sent time.Time, lifetime time.Duration) *Token {
	const longest = 24 * time.Hour
	lifetime = min(lifetime, longest)
	window := min(lifetime/4, time.Minute)
	jitter := time.Duration(rand.Float64() * float64(window) / 10)
	bearer := bearerPrefix + access
	return &Token{
		bearer:   &bearer,
		scope:    scope,
		sent:     sent,
		lifetime: lifetime,
		stale:    lifetime - window - jitter,
		expired:  lifetime - min(lifetime/10, 10*time.Second),
	}
}

// age is how long ago sent was, by the clock that says more: the monotonic
// clock stands still while a machine is suspended, and the wall clock can be
// set back.
func age(sent, now time.Time) time.Duration {
	return max(now.Sub(sent), time.Duration(now.UnixNano()-sent.UnixNano()))
}

// AccessToken is the secret itself.
func (t *Token) AccessToken() string { return (*t.bearer)[len(bearerPrefix):] }

// Expiry is when the token expires, by this machine's clock: its lifetime
// counted from when its grant was sent, so that a clock that is off does no
// harm. It is at most a day away.
func (t *Token) Expiry() time.Time { return t.sent.Round(0).Add(t.lifetime) }

// Scope is what was granted, separated by spaces.
func (t *Token) Scope() string { return t.scope }

// OAuth2 is a copy for golang.org/x/oauth2. It shows its secret when printed.
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
// to call. [Transport] sends them only to the hosts it was made for.
type TokenSource struct {
	cache *cache
	key   Request
	entry atomic.Pointer[entry]
}

// TokenSource makes a source of tokens for r. A bad Request is a
// *[FieldError].
func (c *Client) TokenSource(r Request) (*TokenSource, error) {
	key, err := c.key(r)
	if err != nil {
		return nil, err
	}
	return &TokenSource{cache: c.cache, key: key}, nil
}

// TokenContext returns what [Client.Token] does. While a token is at hand
// that takes an atomic load and a look at the clock.
func (s *TokenSource) TokenContext(ctx context.Context) (*Token, error) {
	t, _, err := s.get(ctx)
	return t, err
}

// get also tells whether the token was waited for.
func (s *TokenSource) get(ctx context.Context) (t *Token, waited bool, err error) {
	e := s.entry.Load()
	if e != nil {
		if t := s.cache.hit(e); t != nil {
			return t, false, nil
		}
	}
	if e == nil || e.gone.Load() {
		e = s.cache.entryFor(&s.key)
		s.entry.Store(e)
	}
	return s.cache.token(ctx, e)
}

// refused is told that an API answered 401, and tells whether to try again.
func (s *TokenSource) refused(t *Token, justFetched bool) (again bool) {
	return s.cache.refuse(s.entry.Load(), t, justFetched)
}

// accepted is told that an API took t.
func (s *TokenSource) accepted(t *Token) { s.cache.accept(s.entry.Load(), t) }

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
	if age(t.sent, time.Now()) < t.stale {
		return t.oauth2(t.sent.Round(0).Add(t.stale + expiryDelta)), nil
	}
	return t.OAuth2(), nil
}

// String names the request, and hides a person.
func (s *TokenSource) String() string {
	return "TokenSource{" + strings.TrimPrefix(s.key.String(), "Request{")
}

// Format makes every verb print what String does.
func (s *TokenSource) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }
