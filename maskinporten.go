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
	"sync"
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
	verifier *Verifier
	altinn   altinnCaches

	lanesMu sync.Mutex
	lanes   map[lane]chan struct{} // apis.go: calls under way to an API with a limit
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
		lanes:    make(map[lane]chan struct{}),
	}
	if static {
		c.exchange.last.Store(cred)
	}
	c.cache = newCache(c.exchange, static, log)
	c.verifier = newVerifier(c.env, c.exchange.http)
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

// Environment is the one the client was made for.
func (c *Client) Environment() Environment { return c.env }

// ClientID returns the integration's id that the client was made for.
func (c *Client) ClientID() string { return c.id }

// Credential asks the source for the credential that would sign a grant now. A
// file source that does not load gives an error here before there is traffic.
func (c *Client) Credential(ctx context.Context) (*Credential, error) {
	return c.source.Credential(ctx)
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
	if e := c.cache.find(&r); e != nil {
		if t := c.cache.hit(e); t != nil {
			return t, nil
		}
	}
	key, err := c.key(r)
	if err != nil {
		return nil, err
	}
	t, _, err := c.cache.token(ctx, c.cache.entryFor(&key))
	return t, err
}

// Invalidate drops a token that an API has refused, so that the next call
// fetches another. Only exactly this access token is dropped: a late refusal
// of an old token leaves the newer one alone. [Transport] does this by itself.
func (c *Client) Invalidate(accessToken string) { c.cache.invalidate(accessToken) }

// Stats is a snapshot of what the client has done.
func (c *Client) Stats() Stats {
	s := c.cache.snapshot()
	if cred := c.exchange.lastCredential(); cred != nil {
		s.NotAfter = cred.NotAfter()
	}
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
	if err := r.validate(); err != nil {
		return Request{}, err
	}
	if cred, ok := c.source.(*Credential); ok {
		if err := r.checkOwner(cred); err != nil {
			return Request{}, err
		}
	}
	return r.normalized(), nil
}
