package maskinporten_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

type sourceFunc func() (*maskinporten.Credential, error)

func (f sourceFunc) Credential(context.Context) (*maskinporten.Credential, error) { return f() }

// What would be wrong with the first token is seen before there is traffic, and
// nothing is sent to find it.
func TestCheck(t *testing.T) {
	loaded := func(c maskinportentest.Certificate) maskinporten.CredentialSource {
		return sourceFunc(func() (*maskinporten.Credential, error) { return maskinporten.LoadPKCS12(c.PKCS12("p"), "p") })
	}
	chain := maskinportentest.Certificate{}.Credential()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	leafOnly, err := maskinporten.NewCredential(key, maskinportentest.Certificate{Key: key}.Credential().Certificate())
	require.NoError(t, err)
	broken := errors.New("the vault is sealed")
	for _, tt := range []struct {
		reason string
		source maskinporten.CredentialSource
		is     error  // nil: ready
		says   string // in the error
	}{
		{"a good one", chain, nil, ""},
		{"from a file", loaded(maskinportentest.Certificate{}), nil, ""},
		{"a production certificate in test", loaded(maskinportentest.Certificate{Production: true}), maskinporten.ErrNoToken, "not one for test"},
		{"one that is registered is not looked at for that", maskinportentest.Certificate{Production: true}.Credential().WithKeyID("k"), nil, ""},
		{"out of date", loaded(maskinportentest.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}), maskinporten.ErrCertificateExpired, "expired"},
		{"of the wrong kind", loaded(maskinportentest.Certificate{KeyUsage: x509.KeyUsageContentCommitment}), maskinporten.ErrUnusableKey, "Digital Signature"},
		{"without its issuer's", sourceFunc(func() (*maskinporten.Credential, error) { return leafOnly, nil }), maskinporten.ErrMissingIntermediate, ""},
		{"a source that fails", sourceFunc(func() (*maskinporten.Credential, error) { return nil, broken }), broken, "the vault is sealed"},
		{"a source that gives none", sourceFunc(func() (*maskinporten.Credential, error) { return nil, nil }), maskinporten.ErrNoToken, "neither"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			cfg := fake.Config()
			cfg.Environment, cfg.Credential = maskinporten.Test, tt.source
			client, err := maskinporten.New(cfg)
			require.NoError(t, err)
			err = client.Check(t.Context())
			require.Empty(t, fake.Grants())
			if tt.is == nil {
				require.NoError(t, err)
				require.False(t, client.Stats().NotAfter.IsZero(), "known from the start")
				return
			}
			require.ErrorIs(t, err, tt.is)
			require.ErrorIs(t, err, maskinporten.ErrNoToken)
			require.ErrorContains(t, err, "not ready for test")
			require.ErrorContains(t, err, tt.says)
			if tt.says == "not one for test" {
				return // that is for Maskinporten to judge
			}
			_, err = client.Token(t.Context(), maskinporten.Request{Scope: "skatteetaten:inntekt"})
			require.ErrorIs(t, err, tt.is)
			require.Empty(t, fake.Grants(), "a credential from a source is looked at before signing")
		})
	}
}

// With requests, there is a token at hand for each afterwards.
func TestCheckWithRequests(t *testing.T) {
	fake := maskinportentest.New()
	client, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	good := maskinporten.Request{Scope: "skatteetaten:inntekt"}
	require.NoError(t, client.Check(t.Context(), good))
	require.Len(t, fake.Grants(), 1)
	require.NoError(t, client.Check(t.Context(), good), "it is at hand")
	require.Len(t, fake.Grants(), 1)

	err = client.Check(t.Context(), good, maskinporten.Request{Scope: "a,b"})
	var failed *maskinporten.PrefetchError
	require.ErrorAs(t, err, &failed)
	require.Len(t, failed.Failed, 1)
	requireField(t, err, "Request.Scope")
	require.ErrorIs(t, err, maskinporten.ErrNoToken)
}

// One check tells "no token" from what an API says.
func TestErrNoToken(t *testing.T) {
	refusing := roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 400, Body: io.NopCloser(strings.NewReader(`{"error":"invalid_scope"}`)), Header: http.Header{}}, nil
	})
	broken := roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	gateway := roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("<html>")), Header: http.Header{}}, nil
	})
	hanging := roundTrip(func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	panicking := roundTrip(func(*http.Request) (*http.Response, error) { panic("x") })
	good, bad := maskinporten.Request{Scope: "skatteetaten:inntekt"}, maskinporten.Request{Scope: ","}
	failing := sourceFunc(func() (*maskinporten.Credential, error) { return nil, errors.New("no credential") })
	for _, tt := range []struct {
		reason  string
		http    http.RoundTripper
		source  maskinporten.CredentialSource
		request maskinporten.Request
	}{
		{"a refusal", refusing, nil, good},
		{"a network error", broken, nil, good},
		{"a gateway's page", gateway, nil, good},
		{"an HTTP client that panics", panicking, nil, good},
		{"the caller's context", hanging, nil, good},
		{"a bad request", refusing, nil, bad},
		{"no credential", refusing, failing, good},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := maskinportentest.New().Config()
				cfg.HTTPClient = &http.Client{Transport: tt.http}
				if tt.source != nil {
					cfg.Credential = tt.source
				}
				client, err := maskinporten.New(cfg)
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				if tt.reason != "the caller's context" {
					ctx = t.Context()
				}
				for _, c := range []*maskinporten.Client{client, client.WithExchange(altinn.TT02)} {
					_, err = c.Token(ctx, tt.request)
					require.ErrorIs(t, err, maskinporten.ErrNoToken, "Token")
					require.ErrorIs(t, c.Prefetch(ctx, []maskinporten.Request{tt.request}, 1, nil), maskinporten.ErrNoToken, "Prefetch")
					require.ErrorIs(t, c.Check(ctx, tt.request), maskinporten.ErrNoToken, "Check")
					if tt.request == bad {
						continue
					}
					source, err := c.TokenSource(tt.request)
					require.NoError(t, err)
					_, err = source.TokenContext(ctx)
					require.ErrorIs(t, err, maskinporten.ErrNoToken, "TokenContext")
					transport, err := c.Transport(tt.request, nil, "api.example.no")
					require.NoError(t, err)
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.example.no/", nil)
					_, err = (&http.Client{Transport: transport}).Do(req)
					require.ErrorIs(t, err, maskinporten.ErrNoToken, "Transport")
					api, err := apis.SkatteetatenInntekt.At("https://api.example.no").HTTPClient(c, "")
					require.NoError(t, err)
					_, err = api.Do(req.Clone(ctx))
					require.ErrorIs(t, err, maskinporten.ErrNoToken, "an API's client")
				}
				time.Sleep(time.Minute) // until the fetches that nobody waits for have ended
			})
		})
	}
}

// Operators log Stats as JSON.
func TestStatsAsJSON(t *testing.T) {
	text, err := json.Marshal(maskinporten.Stats{StoreRequests: map[maskinporten.StoreRequest]int64{{Operation: "get", Result: "hit"}: 3}})
	require.NoError(t, err)
	require.Contains(t, string(text), `"StoreRequests":{"get.hit":3}`)
}
