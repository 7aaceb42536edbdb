package benchmarks

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"testing"

	"cloud.google.com/go/auth"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/bradleyfalzon/ghinstallation/v2"
	"golang.org/x/oauth2"
)

// peer is one way to have a token at hand. get is what a caller calls; it
// returns the token's text. A peer that takes no context ignores it.
type peer struct {
	name string
	make func(t testing.TB, e *endpoint) (get func(context.Context) (string, error))
}

const (
	ours        = "maskinporten TokenSource.TokenContext"
	oursClient  = "maskinporten Client.Token"
	oursOAuth2  = "maskinporten TokenSource.Token in ReuseTokenSource"
	theirOAuth2 = "x/oauth2 ReuseTokenSource"
	theirAWS    = "aws CredentialsCache"
	theirGoogle = "google auth cached provider"
	theirAzure  = "azcore BearerTokenPolicy"
	theirGitHub = "ghinstallation Transport.Token"
)

// peers hold a token each. azcore offers its cache only through a pipeline, so
// its figure holds a request as well; see the RoundTrip benchmark for a fair one.
var peers = []peer{
	{ours, func(t testing.TB, e *endpoint) func(context.Context) (string, error) {
		source, err := newClient(t, e, nil).TokenSource(request)
		if err != nil {
			t.Fatal(err)
		}
		return func(ctx context.Context) (string, error) {
			token, err := source.TokenContext(ctx)
			if err != nil {
				return "", err
			}
			return token.AccessToken(), nil
		}
	}},
	{oursClient, func(t testing.TB, e *endpoint) func(context.Context) (string, error) {
		client := newClient(t, e, nil)
		return func(ctx context.Context) (string, error) {
			token, err := client.Token(ctx, request)
			if err != nil {
				return "", err
			}
			return token.AccessToken(), nil
		}
	}},
	{oursOAuth2, func(t testing.TB, e *endpoint) func(context.Context) (string, error) {
		source, err := newClient(t, e, nil).TokenSource(request)
		if err != nil {
			t.Fatal(err)
		}
		return fromOAuth2(oauth2.ReuseTokenSource(nil, source))
	}},
	{theirOAuth2, func(t testing.TB, e *endpoint) func(context.Context) (string, error) {
		return fromOAuth2(oauth2.ReuseTokenSource(nil, oauth2Source{e}))
	}},
	{theirAWS, func(t testing.TB, e *endpoint) func(context.Context) (string, error) {
		cache := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
			token, expiry, err := e.issue(ctx)
			return aws.Credentials{AccessKeyID: "id", SecretAccessKey: "secret", SessionToken: token, CanExpire: true, Expires: expiry}, err
		}))
		return func(ctx context.Context) (string, error) {
			c, err := cache.Retrieve(ctx)
			return c.SessionToken, err
		}
	}},
	{theirGoogle, func(t testing.TB, e *endpoint) func(context.Context) (string, error) {
		cache := auth.NewCachedTokenProvider(googleProvider{e}, nil)
		return func(ctx context.Context) (string, error) {
			token, err := cache.Token(ctx)
			if err != nil {
				return "", err
			}
			return token.Value, nil
		}
	}},
	{theirAzure, func(t testing.TB, e *endpoint) func(context.Context) (string, error) {
		base := &apiStub{}
		pipeline := azurePipeline(e, base)
		return func(ctx context.Context) (string, error) {
			req, err := runtime.NewRequest(ctx, http.MethodGet, apiURL)
			if err != nil {
				return "", err
			}
			resp, err := pipeline.Do(req)
			if err != nil {
				return "", err
			}
			resp.Body.Close()
			return resp.Request.Header.Get("Authorization"), nil // that of the pipeline's own copy
		}
	}},
	{theirGitHub, func(t testing.TB, e *endpoint) func(context.Context) (string, error) {
		return gitHub(t, e, nil).Token
	}},
}

func peerNamed(t testing.TB, name string) peer {
	t.Helper()
	for _, p := range peers {
		if p.name == name {
			return p
		}
	}
	t.Fatal("no such peer: " + name)
	return peer{}
}

// oauth2Source takes no context: x/oauth2's interface has none.
type oauth2Source struct{ e *endpoint }

func (s oauth2Source) Token() (*oauth2.Token, error) {
	token, expiry, err := s.e.issue(context.Background())
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token, TokenType: "Bearer", Expiry: expiry}, nil
}

func fromOAuth2(source oauth2.TokenSource) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		token, err := source.Token()
		if err != nil {
			return "", err
		}
		return token.AccessToken, nil
	}
}

type googleProvider struct{ e *endpoint }

func (p googleProvider) Token(ctx context.Context) (*auth.Token, error) {
	token, expiry, err := p.e.issue(ctx)
	if err != nil {
		return nil, err
	}
	return &auth.Token{Value: token, Type: "Bearer", Expiry: expiry}, nil
}

type azureCredential struct{ e *endpoint }

func (c azureCredential) GetToken(ctx context.Context, _ policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, expiry, err := c.e.issue(ctx)
	return azcore.AccessToken{Token: token, ExpiresOn: expiry}, err
}

// azurePipeline holds what a pipeline cannot be without, the policy and the base.
func azurePipeline(e *endpoint, base http.RoundTripper) runtime.Pipeline {
	bearer := runtime.NewBearerTokenPolicy(azureCredential{e}, []string{scope}, nil)
	return runtime.NewPipeline("benchmarks", "v0.0.0", runtime.PipelineOptions{}, &policy.ClientOptions{
		Transport:        transporter{base},
		Telemetry:        policy.TelemetryOptions{Disabled: true}, // it would lengthen User-Agent on every use of a request
		PerRetryPolicies: []policy.Policy{bearer},
	})
}

type transporter struct{ base http.RoundTripper }

func (t transporter) Do(req *http.Request) (*http.Response, error) { return t.base.RoundTrip(req) }

// gitHub mints from e, and calls APIs over base.
func gitHub(t testing.TB, e *endpoint, base http.RoundTripper) *ghinstallation.Transport {
	t.Helper()
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key(t, 2048))})
	transport, err := ghinstallation.New(gitHubBase{api: base, tokens: e}, 1, 2, bytes.TrimSpace(block))
	if err != nil {
		t.Fatal(err)
	}
	return transport
}

// gitHubBase is one base for both, as ghinstallation has it.
type gitHubBase struct{ api, tokens http.RoundTripper }

func (b gitHubBase) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost {
		return b.tokens.RoundTrip(req)
	}
	return b.api.RoundTrip(req)
}

var errNoToken = errors.New("an empty token")
