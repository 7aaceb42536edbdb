package maskinporten

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

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

// AccessToken returns the secret itself.
func (t *Token) AccessToken() string { return t.bearer()[len(bearerPrefix):] }

// Expiry returns when the token expires, by this machine's clock: its lifetime
// counted from when its grant was sent, so that a clock that is off does no
// harm. It is at most a day away.
func (t *Token) Expiry() time.Time { return t.times.Sent.Wall().Add(t.times.Lifetime) }

// Scope returns what was granted, separated by spaces.
func (t *Token) Scope() string { return t.scope }

// OAuth2 returns a copy for golang.org/x/oauth2. It shows its secret when printed.
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

// TokenContext returns what [Client.Token] does. While a token is at hand
// that takes an atomic load and a look at the clock.
func (s *TokenSource) TokenContext(ctx context.Context) (*Token, error) {
	t, _, err := s.get(ctx)
	return t, err
}

// get also reports whether the token was fetched while the call waited for it.
func (s *TokenSource) get(ctx context.Context) (t *Token, justFetched bool, err error) {
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
func (s *TokenSource) reportUnauthorized(t *Token, justFetched bool) (again bool) {
	return s.cache.reportUnauthorized(s.entry.Load(), t, justFetched)
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
	return "TokenSource{" + strings.TrimPrefix(s.key.String(), "Request{")
}

// Format makes every verb print what String does.
func (s *TokenSource) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }
