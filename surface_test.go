package maskinporten_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/oauth2"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/resourceserver"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

// The names and signatures that programs in use compile against. A change that
// does not compile here breaks them.
var (
	_                                                                                                = maskinporten.Environment{Issuer: "", TokenURL: "", JWKSURL: ""}
	_ func(context.Context, *http.Client, string) (maskinporten.Environment, error)                  = maskinporten.Discover
	_ func() (maskinporten.Config, error)                                                            = maskinporten.ConfigFromEnv
	_ func() (maskinporten.Request, error)                                                           = maskinporten.RequestFromEnv
	_                                                                                                = []maskinporten.Environment{maskinporten.Prod, maskinporten.Test, maskinporten.Ver2}
	_ maskinporten.CredentialSource                                                                  = (*maskinporten.Credential)(nil)
	_ func([]byte, string) (*maskinporten.Credential, error)                                         = maskinporten.LoadPKCS12
	_ func(...[]byte) (*maskinporten.Credential, error)                                              = maskinporten.LoadPEM
	_ func(string, ...[]byte) (*maskinporten.Credential, error)                                      = maskinporten.LoadPEMKey
	_ func([]byte) (*maskinporten.Credential, error)                                                 = maskinporten.LoadJWK
	_ func(crypto.Signer, ...*x509.Certificate) (*maskinporten.Credential, error)                    = maskinporten.NewCredential
	_ func(crypto.Signer, string) (*maskinporten.Credential, error)                                  = maskinporten.NewKeyCredential
	_ func(string, string) maskinporten.CredentialSource                                             = maskinporten.PKCS12File
	_ func(*maskinporten.Credential, string) *maskinporten.Credential                                = (*maskinporten.Credential).WithKeyID
	_ func(*maskinporten.Credential) *x509.Certificate                                               = (*maskinporten.Credential).Certificate
	_ func(*maskinporten.Credential) []*x509.Certificate                                             = (*maskinporten.Credential).Chain
	_ func(*maskinporten.Credential) string                                                          = (*maskinporten.Credential).OrgNumber
	_ func(*maskinporten.Credential) time.Time                                                       = (*maskinporten.Credential).NotAfter
	_                                                                                                = maskinporten.Config{Environment: maskinporten.Test, ClientID: "", Credential: nil, HTTPClient: (*http.Client)(nil), Logger: (*slog.Logger)(nil), Store: maskinporten.TokenStore(nil), Trace: (*maskinporten.Trace)(nil)}
	_ func(maskinporten.Config) (*maskinporten.Client, error)                                        = maskinporten.New
	_ func(*maskinporten.Client) maskinporten.Environment                                            = (*maskinporten.Client).Environment
	_ func(*maskinporten.Client, context.Context, ...maskinporten.Request) error                     = (*maskinporten.Client).Check
	_ func(*maskinporten.Client, context.Context, maskinporten.Request) (*maskinporten.Token, error) = (*maskinporten.Client).Token
	_ func(*maskinporten.Client, string)                                                             = (*maskinporten.Client).Invalidate
	_ func(*maskinporten.Client) maskinporten.Stats                                                  = (*maskinporten.Client).Stats
	_ func(*maskinporten.Client, maskinporten.Request) (*maskinporten.TokenSource, error)            = (*maskinporten.Client).TokenSource
	_ func(*maskinporten.Client, maskinporten.TokenExchange) *maskinporten.Client                    = (*maskinporten.Client).WithExchange
	_ func(*maskinporten.TokenSource, context.Context) (*maskinporten.Token, error)                  = (*maskinporten.TokenSource).TokenContext
	_ oauth2.TokenSource                                                                             = (*maskinporten.TokenSource)(nil)
	_ http.RoundTripper                                                                              = (*maskinporten.Transport)(nil)
	_                                                                                                = maskinporten.Request{Scope: "", ConsumerOrg: "", Resource: "", PID: "", OnBehalfOf: "", SystemUser: maskinporten.SystemUser{OrgNumber: "", ExternalRef: ""}, Consent: maskinporten.Consent{ID: "", From: ""}}
	_ func(*maskinporten.Token) string                                                               = (*maskinporten.Token).AccessToken
	_ func(*maskinporten.Token) time.Time                                                            = (*maskinporten.Token).Expiry
	_ func(*maskinporten.Token) string                                                               = (*maskinporten.Token).Scope
	_ func(*maskinporten.Token) *oauth2.Token                                                        = (*maskinporten.Token).OAuth2
	_                                                                                                = maskinporten.Error{StatusCode: 0, Code: "", Description: "", URI: "", MPCode: "", TraceID: "", RetryAfter: 0}
	_ func(*maskinporten.Error) string                                                               = (*maskinporten.Error).Remedy
	_ func(*maskinporten.Error) bool                                                                 = (*maskinporten.Error).Temporary
	_                                                                                                = []error{maskinporten.ErrNoToken, maskinporten.ErrStoreMiss}
	_                                                                                                = maskinporten.ExchangedToken{AccessToken: "", Lifetime: 0}
	_                                                                                                = maskinporten.Fetch{ID: uint64(0), Request: maskinporten.Request{}, Background: false}
	_                                                                                                = maskinporten.FetchResult{Err: nil, Attempts: 0, FromStore: false}
	_ func(string) (string, error)                                                                   = maskinporten.ParseOrgNumber
	_ maskinporten.TokenExchange                                                                     = altinn.Exchange{Platform: "", TestOrg: false}
	_                                                                                                = []altinn.Exchange{altinn.Prod, altinn.TT02}
	_ func(maskinporten.Environment, *http.Client) (*resourceserver.Verifier, error)                 = resourceserver.NewVerifier
	_ func(*resourceserver.Verifier, context.Context, string) (*resourceserver.Claims, error)        = (*resourceserver.Verifier).Verify
	_ func(*resourceserver.Verifier, string, ...string) func(http.Handler) http.Handler              = (*resourceserver.Verifier).Require
	_ func(context.Context) *resourceserver.Claims                                                   = resourceserver.ClaimsFromContext
	_ func(string) (*resourceserver.Claims, error)                                                   = resourceserver.UnverifiedClaims
	_                                                                                                = []error{resourceserver.ErrTokenInvalid, resourceserver.ErrTokenExpired}
	_ func(*maskinporten.Client, selfservice.Options) (*selfservice.Client, error)                   = selfservice.New
)

// The Transport of a Client takes its hosts one by one.
var _ func(*maskinporten.Client, maskinporten.Request, http.RoundTripper, ...string) (*maskinporten.Transport, error) = (*maskinporten.Client).Transport

// Trace's functions, and what a store implements.
var (
	_ = maskinporten.Trace{
		FetchStart:   func(context.Context, maskinporten.Fetch) context.Context { return nil },
		FetchDone:    func(context.Context, maskinporten.Fetch, maskinporten.FetchResult) {},
		AttemptStart: func(context.Context, maskinporten.Fetch, int) context.Context { return nil },
		AttemptDone:  func(context.Context, maskinporten.Fetch, int, error) {},
		Waited:       func(context.Context, maskinporten.Fetch, time.Duration, error) {},
	}
	_ maskinporten.TokenStore = interface {
		Get(ctx context.Context, name string) (sealed []byte, left time.Duration, err error)
		Set(ctx context.Context, name string, sealed []byte, ttl time.Duration) error
		Delete(ctx context.Context, name string, sealed []byte) error
		Lease(ctx context.Context, name string, ttl time.Duration) (won bool, err error)
	}(nil)
)

// The known APIs and their methods.
var (
	_ = []apis.API{apis.SkatteetatenInntekt, apis.SkatteetatenInntektsmottakere, apis.SkatteetatenTjenestepensjonsavtale, apis.NAVAaregOTP}

	_ func(apis.API, *maskinporten.Client, string) (*http.Client, error) = apis.API.HTTPClient
	_ func(apis.API, string) apis.API                                    = apis.API.At
	_ func(apis.API, http.RoundTripper) apis.API                         = apis.API.Via
	_ func(apis.API, maskinporten.Environment) string                    = apis.API.BaseURL
)

func consumersAreStrings(c resourceserver.Claims) []string {
	return []string{c.Consumer, c.Supplier, c.ConsumerID.Authority, c.ConsumerID.ID, c.SupplierID.Authority, c.SupplierID.ID}
}

var _ = consumersAreStrings
