// Package maskinporten gets access tokens from Maskinporten, Norway's
// machine-to-machine OAuth 2.0 server, and puts them on API calls.
//
// A caller holds a virksomhetssertifikat (an enterprise certificate from
// Buypass or Commfides) or a key registered on its client, a client id from
// Samarbeidsportalen (Digdir's self-service portal) and scopes that the API's
// owner has granted. The package signs a grant with the key (RFC 7523),
// exchanges it for an access token, and keeps the token until it expires: it
// is fetched again in the background before that, so that no call waits.
//
//	cred, err := maskinporten.LoadPKCS12(data, password)
//	client, err := maskinporten.New(maskinporten.Config{
//		Environment: maskinporten.Test, ClientID: "…", Credential: cred,
//	})
//	transport, err := client.Transport(maskinporten.Request{Scope: "skatteetaten:inntekt"}, nil, "inntekt.api.skatteetaten-test.no")
//	api := &http.Client{Transport: transport}
//
// Code that knows only golang.org/x/oauth2 takes a [TokenSource]. Tests use
// package maskinportentest, a Maskinporten that validates as the real one does.
//
// Errors say what to do; see [Error]. Nothing secret is ever printed, logged
// or put in an error.
package maskinporten

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Config is what [New] needs.
type Config struct {
	// Environment is [Prod], [Test] or one of your own.
	Environment Environment

	// ClientID is the integration's id in Samarbeidsportalen. An id belongs
	// to one environment.
	ClientID string

	// Credential signs the grants: a *[Credential], or a source such as
	// [PKCS12File] that notices a renewed certificate.
	Credential CredentialSource

	// HTTPClient calls the token endpoint and, when they are used, the key set
	// and Altinn's exchange. It is copied, and the copy does not follow
	// redirects. Nil means a client with TLS 1.2 or later, the proxy of the
	// environment variables and time limits.
	HTTPClient *http.Client

	// Logger gets warnings: a token that could not be refreshed, a clock that
	// is off, an API that refuses every token, a credential file that does not
	// load, a certificate with less than 60 days left (an error under 14), each
	// once and not once a call. Attempts that are repeated are at debug level.
	// Nil means silence.
	Logger *slog.Logger

	// Store shares tokens with other processes of the same client and
	// credential, so that they fetch each token once and not once each; package
	// redisstore has one. Tokens in it are sealed with what the credential's
	// key signs, so a store must not be used with a key that signs texts that
	// others choose. Nil means that tokens are this process's own.
	Store TokenStore

	// Trace is told of fetches and of calls that wait for one; package
	// otelmaskinporten has one. Nil means nobody is.
	Trace *Trace
}

// Client is one Maskinporten client in one environment, with the tokens it
// has got. Make one, and share it: it is safe for concurrent use and its
// token sources and transports share its tokens. It runs nothing between
// calls and needs no closing.
type Client struct {
	env      Environment
	id       string
	source   CredentialSource
	exchange *exchange
	cache    *cache

	exchangedMu sync.Mutex
	exchanged   map[TokenExchange]*Client // what WithExchange has made
}

// New validates cfg and makes a Client. It does no I/O: a file source is first
// read when a token is asked for. Its errors are a *[FieldError].
func New(cfg Config) (*Client, error) {
	if err := cfg.Environment.validate(); err != nil {
		return nil, err
	}
	if err := checkClientID("ClientID", cfg.ClientID); err != nil {
		return nil, err
	}
	cred, static := cfg.Credential.(*Credential)
	if cfg.Credential == nil || static && cred == nil {
		return nil, invalid("Credential", "is missing: load one with LoadPKCS12, LoadPEM or LoadJWK, or use PKCS12File")
	}
	if static {
		if err := cred.complete(); err != nil {
			return nil, invalidBecause("Credential", err)
		}
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if cfg.Environment.Issuer == Ver2.Issuer {
		log.Warn("maskinporten: ver2 was phased out on 2024-06-10; use maskinporten.Test")
	}
	c := &Client{
		env:      cfg.Environment,
		id:       cfg.ClientID,
		source:   cfg.Credential,
		exchange: newExchange(cfg.Environment, cfg.ClientID, cfg.Credential, cfg.HTTPClient, log),
	}
	if files, ok := cfg.Credential.(*fileSource); ok {
		cred = files.loaded()
	}
	if cred != nil {
		c.exchange.last.Store(cred)
	}
	c.cache = newCache(c.exchange, static, log)
	c.cache.trace = cfg.Trace
	c.cache.store = newSharedTokens(cfg.Store, c.exchange)
	return c, nil
}

func checkClientID(field, id string) error {
	if id == "" {
		return invalid(field, "is missing: give the client id from Samarbeidsportalen")
	}
	if !visibleASCII(id) {
		return invalid(field, "holds a space, a line break or a character outside ASCII: copy it again from Samarbeidsportalen")
	}
	return nil
}

// Environment returns the one the client was made for.
func (c *Client) Environment() Environment { return c.env }

// ClientID returns the integration's id that the client was made for.
func (c *Client) ClientID() string { return c.id }

// Credential asks the source for the credential that would sign a grant now. A
// file source that does not load gives an error here before there is traffic.
func (c *Client) Credential(ctx context.Context) (*Credential, error) {
	return c.source.Credential(ctx)
}

// OrgNumber returns the organisation that the client acts for where a Request
// names no ConsumerOrg: the one in the certificate that it last signed with. It
// asks the source if nothing has been signed yet. It is empty for a bare key.
func (c *Client) OrgNumber(ctx context.Context) string {
	cred := c.exchange.lastCredential()
	if cred == nil {
		cred, _ = c.exchange.credential(ctx)
	}
	if cred == nil {
		return ""
	}
	return cred.OrgNumber()
}

// Logger returns [Config.Logger], or one that discards if that was nil: for
// code that works with the client and has something to say to the same people.
func (c *Client) Logger() *slog.Logger { return c.exchange.log }

// Token returns a token for r: the one at hand, or a new one. A token at hand
// is returned even when ctx has ended; waiting for a new one ends with ctx,
// while the fetch itself goes on for the benefit of the next caller.
//
// The token has at least a tenth of its lifetime, or ten seconds, left, unless
// ctx has ended or Maskinporten gives no other in time: then it is the one at
// hand, for as long as that lives.
//
// A refusal is an *[Error]; a bad Request is a *[FieldError] and nothing is
// sent. A caller that asks for the same Request again and again saves a
// lookup with [Client.TokenSource].
func (c *Client) Token(ctx context.Context, r Request) (*Token, error) {
	if e := c.cache.find(&r); e != nil {
		if t := c.cache.Hit(e); t != nil {
			return t, nil
		}
	}
	key, err := c.key(r)
	if err != nil {
		return nil, err
	}
	got, err := c.cache.get(ctx, &key)
	return got.Value, err
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

// Invalidate drops a token that an API has refused, so that the next call
// fetches another. Only exactly this access token is dropped: a late refusal
// of an old token leaves the newer one alone. [Transport] does this by itself.
func (c *Client) Invalidate(accessToken string) { c.cache.Invalidate(accessToken) }

// Stats is a snapshot of what the client has done.
func (c *Client) Stats() Stats {
	s := c.cache.snapshot()
	if cred := c.exchange.lastCredential(); cred != nil {
		s.Credential, s.NotAfter = cred, cred.NotAfter()
	}
	s.ClockSkew = c.exchange.clock.Skew()
	return s
}

// String names the environment and the client id.
func (c *Client) String() string {
	return fmt.Sprintf("Client{Environment: %s, ClientID: %q}", c.env.name(), c.id)
}

// LogValue is what String prints.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Format makes every verb print what String does.
func (c *Client) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// key is r in the form in which it is a cache key, once it has been validated.
func (c *Client) key(r Request) (Request, error) {
	if err := r.Validate(); err != nil {
		return Request{}, err
	}
	if cred, ok := c.source.(*Credential); ok {
		if err := r.checkOwner(cred); err != nil {
			return Request{}, err
		}
	}
	return r.normalized(), nil
}

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

// WithExchange returns a Client whose tokens are c's, each traded by x for
// another. It keeps them as c keeps its own, for as long as they themselves
// live, and all its methods are about them. It costs no I/O.
//
// Clients for an equal x share their tokens, if x is comparable; c keeps them.
// Another has a cache of its own: then call WithExchange once and keep the
// Client.
func (c *Client) WithExchange(x TokenExchange) *Client {
	if x == nil {
		x = noExchange{}
	}
	if v := reflect.ValueOf(x); !v.Comparable() || x != x {
		return c.traded(x)
	}
	c.exchangedMu.Lock()
	defer c.exchangedMu.Unlock()
	made := c.exchanged[x]
	if made == nil {
		made = c.traded(x)
		if c.exchanged == nil {
			c.exchanged = make(map[TokenExchange]*Client)
		}
		c.exchanged[x] = made
	}
	return made
}

type noExchange struct{}

func (noExchange) Validate() error {
	return invalid("TokenExchange", "is nil: give one to WithExchange, such as altinn.Prod")
}

func (noExchange) Exchange(context.Context, *http.Client, *Token, Request) (ExchangedToken, error) {
	return ExchangedToken{}, noExchange{}.Validate()
}

// traded makes a client for the tokens that x trades for c's.
func (c *Client) traded(x TokenExchange) *Client {
	t := &trade{by: x, from: c}
	traded := &Client{env: c.env, id: c.id, source: c.source, exchange: c.exchange}
	traded.cache = newCache(c.exchange, c.cache.static, c.exchange.log)
	traded.cache.fetch, traded.cache.about, traded.cache.trace = t.fetch, t.requestInfo, c.cache.trace
	return traded
}

// trade fetches exchanged tokens for a cache.
type trade struct {
	by   TokenExchange
	from *Client
}

// fetch gets a Maskinporten token for r and trades it. One that the other side
// rejects is dropped, and the next one tried.
func (x *trade) fetch(ctx context.Context, r *Request, rejected *Credential) (*Token, *Credential, error) {
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
		if replaced || !errors.Is(err, ErrTokenRejected) || !tokens.reportUnauthorized(got.Entry, t, false) {
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
// and says what was being done. A text that begins with "maskinporten: " says
// so already.
func (x *trade) wrapError(r *Request, t *Token, err error) error {
	var field *FieldError
	if errors.As(err, &field) && field.err == nil {
		return field
	}
	secrets := r.persons()
	if t != nil {
		secrets = append(secrets, t.AccessToken())
	}
	text := redact.Secrets(err.Error(), secrets...)
	if !strings.HasPrefix(text, "maskinporten: ") {
		text = fmt.Sprintf("maskinporten: %s: %s", x.requestInfo(r), text)
	}
	failed := &exchangeError{text: text, err: err}
	var network net.Error
	failed.temporary = errors.Is(err, ErrUnavailable) || errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)
	var paced interface{ RetryAfter() time.Duration }
	if errors.As(err, &paced) {
		failed.retryAfter = paced.RetryAfter()
	}
	if holdsAny(err, secrets) {
		failed.err = errors.New(strings.TrimPrefix(text, "maskinporten: "))
	}
	return failed
}

// holdsAny reports whether err, or an error in it, has one of the secrets in
// its text.
func holdsAny(err error, secrets []string) bool {
	for _, secret := range secrets {
		if strings.Contains(err.Error(), secret) {
			return true
		}
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		inner := e.Unwrap()
		return inner != nil && holdsAny(inner, secrets)
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(inner error) bool { return inner != nil && holdsAny(inner, secrets) })
	}
	return false
}

// exchangeError is a [TokenExchange] that failed.
type exchangeError struct {
	text       string
	temporary  bool
	retryAfter time.Duration
	err        error
}

func (e *exchangeError) Error() string { return e.text }

func (e *exchangeError) Unwrap() error { return e.err }

// Is makes what may pass ErrUnavailable.
func (e *exchangeError) Is(target error) bool { return target == ErrUnavailable && e.temporary }
