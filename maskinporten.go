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
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"unicode"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
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

// made reports whether New made c: a zero Client, or none, can only say so.
func (c *Client) made() bool { return c != nil && c.cache != nil }

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

// checkClientID takes an organisation's name, too: what a client without a
// registration, with a European eSeal, calls itself.
func checkClientID(field, id string) error {
	switch {
	case strings.TrimSpace(id) == "":
		return invalid(field, "is missing: give the client id from Samarbeidsportalen")
	case keystore.LooksLikeKey(id), redact.Secrets(unbroken(id)) != unbroken(id):
		return invalid(field, "looks like a key or a token, and is not shown: give the client id from Samarbeidsportalen")
	case strings.TrimSpace(id) != id, strings.ContainsFunc(id, func(c rune) bool { return !unicode.IsPrint(c) }):
		return invalid(field, fmt.Sprintf("%q holds white space or what does not print: copy it again from Samarbeidsportalen", redact.Cut(id, 100)))
	}
	return nil
}

// unbroken returns s without white space: what breaks lines would also hide from
// a look for secrets what stands in them.
func unbroken(s string) string { return strings.Join(strings.Fields(s), "") }

// Environment returns the one the client was made for.
func (c *Client) Environment() Environment {
	if !c.made() {
		return Environment{}
	}
	return c.env
}

// ClientID returns the integration's id that the client was made for.
func (c *Client) ClientID() string {
	if !c.made() {
		return ""
	}
	return c.id
}

// Credential asks the source for the credential that would sign a grant now. A
// file source that does not load gives an error here before there is traffic.
func (c *Client) Credential(ctx context.Context) (*Credential, error) {
	if !c.made() {
		return nil, notMade("Client", "New")
	}
	return c.source.Credential(ctx)
}

// OrgNumber returns the organisation that the client acts for where a Request
// names no ConsumerOrg: the one in the certificate that it last signed with. It
// asks the source if nothing has been signed yet. It is empty for a bare key.
func (c *Client) OrgNumber(ctx context.Context) string {
	if !c.made() {
		return ""
	}
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
func (c *Client) Logger() *slog.Logger {
	if !c.made() {
		return slog.New(slog.DiscardHandler)
	}
	return c.exchange.log
}

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
	if !c.made() {
		return nil, notMade("Client", "New")
	}
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
	if !c.made() {
		return nil, notMade("Client", "New")
	}
	key, err := c.key(r)
	if err != nil {
		return nil, err
	}
	return &TokenSource{cache: c.cache, key: key}, nil
}

// Transport makes a Transport for r over base (nil means
// [http.DefaultTransport]). It costs no I/O, and all transports of a client
// share its tokens.
//
// hosts are the API's, each as host or host:port; without a port, the scheme's
// own. There is no wildcard, and a subdomain is another host. A token goes out
// only over https, or over http to a loopback address. A call to another host
// is an error that says so; a redirect to one goes on without a token, and so
// does what follows it.
//
// A caller's own Authorization header is left alone. A token is rejected by a
// 401, or by a 403 whose WWW-Authenticate says invalid_token. Then it is dropped,
// unless this call has just fetched it, and the call is repeated once with a new
// one if it has no body or one that [http.Request.GetBody] gives again. For an
// API that rejects every token five are fetched at once and one more every 30
// seconds.
//
// The deadline of a call's context holds for the wait for a token, too. An error
// that came before the API was called is an [ErrNoToken]. A bad Request or host
// is a *[FieldError].
func (c *Client) Transport(r Request, base http.RoundTripper, hosts ...string) (*Transport, error) {
	source, err := c.TokenSource(r)
	if err != nil {
		return nil, err
	}
	if len(hosts) == 0 {
		return nil, invalid("hosts", "are missing: name the API's host, so that the token goes nowhere else")
	}
	t := &Transport{source: source, base: base}
	if base == nil {
		t.base = http.DefaultTransport
	}
	for _, h := range hosts {
		parsed, err := parseHost(h)
		if err != nil {
			return nil, err
		}
		t.hosts = append(t.hosts, parsed)
		if parsed.port == "" && !strings.Contains(parsed.name, ":") {
			t.exactHosts = append(t.exactHosts, parsed.name)
		}
	}
	return t, nil
}

// Check reports what would keep c from getting tokens, for start-up and for a
// readiness probe: it asks the source for its credential, and looks at the
// credential's dates, Key Usage and chain, and at whether its issuer's
// certificates are for this environment. Nothing is sent, unless there are
// requests: then a token is got for each, or found at hand.
//
// The error is an [ErrNoToken]. errors.Is and errors.As find in it what
// [Client.Token] would return, and for requests a *[PrefetchError].
func (c *Client) Check(ctx context.Context, requests ...Request) error {
	if !c.made() {
		return notMade("Client", "New")
	}
	if err := c.exchange.checkCredential(ctx); err != nil {
		return err
	}
	if len(requests) == 0 {
		return nil
	}
	return c.Prefetch(ctx, requests, 0, nil)
}

// Invalidate drops a token that an API has refused, so that the next call
// fetches another. Only exactly this access token is dropped: a late refusal
// of an old token leaves the newer one alone. [Transport] does this by itself.
func (c *Client) Invalidate(accessToken string) {
	if c.made() {
		c.cache.Invalidate(accessToken)
	}
}

// Stats is a snapshot of what the client has done.
func (c *Client) Stats() Stats {
	if !c.made() {
		return Stats{}
	}
	s := c.cache.snapshot()
	if cred := c.exchange.lastCredential(); cred != nil {
		s.Credential, s.NotAfter = cred, cred.NotAfter()
	}
	s.ClockSkew = c.exchange.clock.Skew()
	return s
}

// String names the environment and the client id.
func (c *Client) String() string {
	if !c.made() {
		return "Client{}"
	}
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

// WithExchange returns a Client whose tokens are c's, each traded by x for
// another. It keeps them as c keeps its own, for as long as they themselves
// live, and all its methods are about them. It costs no I/O.
//
// Clients for an equal x share their tokens, if x is comparable; c keeps them.
// Another has a cache of its own: then call WithExchange once and keep the
// Client.
func (c *Client) WithExchange(x TokenExchange) *Client {
	if !c.made() {
		return c // whose methods say so
	}
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

// traded makes a client for the tokens that x trades for c's.
func (c *Client) traded(x TokenExchange) *Client {
	t := &trade{by: x, from: c}
	traded := &Client{env: c.env, id: c.id, source: c.source, exchange: c.exchange}
	traded.cache = newCache(c.exchange, c.cache.static, c.exchange.log)
	traded.cache.fetch, traded.cache.about, traded.cache.trace = t.fetch, t.requestInfo, c.cache.trace
	return traded
}
