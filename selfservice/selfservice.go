// Package selfservice manages integrations and their keys through Digdir's
// self-service API, the one behind the portal Samarbeidsportalen, so that
// nobody has to do it by hand: an integration is a client of Maskinporten with
// its scopes, and a key registered on it dies a year later.
//
// The API takes an ordinary Maskinporten token of an admin client, which an
// organisation orders from servicedesk@digdir.no once. It signs with a
// virksomhetssertifikat or with a key registered on it:
//
//	admin, err := maskinporten.New(maskinporten.Config{ … })
//	api, err := selfservice.New(admin, selfservice.Options{})
//	integrations, err := api.Integrations(ctx)
//
// The API replaces whole objects and whole sets of keys, and has no ETag. All
// changes here are therefore read, changed, written and read again: if
// somebody else has written meanwhile, the error is [ErrChangedMeanwhile].
// [Client.Rotate] renews a key without a call failing.
//
// Sources: https://docs.digdir.no/docs/idporten/oidc/oidc_api_admin and
// https://docs.digdir.no/docs/Maskinporten/maskinporten_sjolvbetjening_api.
package selfservice

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// The addresses of the API.
// https://docs.digdir.no/docs/idporten/oidc/oidc_api_admin
const (
	prodURL = "https://api.samarbeid.digdir.no/api/v1"
	testURL = "https://api.test.samarbeid.digdir.no/api/v1"
)

// Options is what [New] may be told. The zero Options will do.
type Options struct {
	// BaseURL is the API's address, without a slash at its end. Empty means
	// that of the client's environment, [maskinporten.Prod] or
	// [maskinporten.Test].
	BaseURL string

	// HTTPClient calls the API, and the token endpoint when a new key is
	// proved. It is copied, and the copy follows no redirect. Nil means a
	// client with TLS 1.2 or later, the proxy of the environment variables and
	// time limits.
	HTTPClient *http.Client

	// Logger gets warnings: keys that end soon, and what a rotation does.
	// Nil means silence.
	Logger *slog.Logger
}

// Client calls the self-service API with the tokens of an admin client. It is
// safe for concurrent use. Make it with [New].
type Client struct {
	admin *maskinporten.Client
	base  string
	host  string
	http  *http.Client
	log   *slog.Logger

	mu         sync.Mutex
	transports map[string]*maskinporten.Transport // by scope
}

// New makes a Client of an admin client, whose tokens it uses with the scope
// that each call needs: idporten:dcr.read, idporten:dcr.modify or
// idporten:dcr.write, and idporten:dcr.supplier beside it to make an
// integration for another organisation. It does no I/O. The error is a
// *[maskinporten.FieldError].
func New(client *maskinporten.Client, o Options) (*Client, error) {
	if client == nil {
		return nil, invalid("client", "is nil: give the admin client, made with maskinporten.New")
	}
	base := o.BaseURL
	if base == "" {
		switch client.Environment().Issuer {
		case maskinporten.Prod.Issuer:
			base = prodURL
		case maskinporten.Test.Issuer:
			base = testURL
		default:
			return nil, invalid("Options.BaseURL", "is missing: only prod and test have a known address of the self-service API")
		}
	}
	base = strings.TrimRight(base, "/")
	if problem := endpoint.CheckURL(base); problem != "" {
		return nil, invalid("Options.BaseURL", problem)
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, invalid("Options.BaseURL", "is not a URL")
	}
	c := &Client{
		admin:      client,
		base:       base,
		host:       u.Host,
		http:       endpoint.NewClient(o.HTTPClient),
		log:        o.Logger,
		transports: make(map[string]*maskinporten.Transport),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// isAdmin reports whether a client id is the admin client's own.
func (c *Client) isAdmin(clientID string) bool {
	return c != nil && c.admin != nil && clientID == c.admin.ClientID()
}

// String names the address and the admin client.
func (c *Client) String() string {
	if c == nil {
		return "selfservice.Client(nil)"
	}
	return fmt.Sprintf("selfservice.Client{%s, %s}", c.base, c.admin)
}

// Format makes every verb print what String does.
func (c *Client) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

func invalid(field, problem string) error {
	return &maskinporten.FieldError{Field: field, Problem: problem}
}
