package maskinportentest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// freeAddress is a loopback address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Under any address all URLs follow, and everything that they name answers.
func TestAddresses(t *testing.T) {
	fixed := "http://" + freeAddress(t)
	tlsServer := maskinportentest.NewTLSServer()
	tests := []struct {
		name, base string
		start      func() *maskinportentest.Fake
	}{
		{"a fixed address", fixed, func() *maskinportentest.Fake { return maskinportentest.NewServerAt(fixed[len("http://"):]) }},
		{"TLS", tlsServer.URL(), func() *maskinportentest.Fake { return tlsServer }},
		{"below a path of one's own mux", "", func() *maskinportentest.Fake {
			mux := http.NewServeMux()
			server := httptest.NewServer(mux)
			t.Cleanup(server.Close)
			fake := maskinportentest.NewAt(server.URL + "/fakes/maskinporten/")
			mux.Handle("/fakes/maskinporten/", fake)
			return fake
		}},
		{"with the prefix stripped", "", func() *maskinportentest.Fake {
			mux := http.NewServeMux()
			server := httptest.NewServer(mux)
			t.Cleanup(server.Close)
			fake := maskinportentest.NewAt(server.URL + "/mp")
			mux.Handle("/mp/", http.StripPrefix("/mp", fake))
			return fake
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fake := tt.start()
			defer fake.Close()
			if tt.base != "" {
				require.Equal(t, tt.base, fake.URL())
			}
			env, err := maskinporten.Discover(t.Context(), fake.HTTPClient(), fake.WellKnownURL())
			require.NoError(t, err)
			require.Equal(t, fake.Environment(), env)
			for _, url := range []string{env.Issuer, env.TokenURL, env.JWKSURL, fake.Altinn().URL(), fake.SelfService().URL()} {
				require.Regexp(t, "^"+fake.URL(), url)
			}
			fake.Handle("/apis/saldo/", fake.Guard("bank:saldo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })))
			client := newClient(t, fake.Config())
			token, err := client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo idporten:dcr.read"})
			require.NoError(t, err)
			get := func(url string) (int, string) {
				req, err := http.NewRequest(http.MethodGet, url, nil)
				require.NoError(t, err)
				req.Header.Set("Authorization", "Bearer "+token.AccessToken())
				resp, err := fake.HTTPClient().Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				return resp.StatusCode, string(body)
			}
			status, body := get(fake.URL() + "/apis/saldo/1")
			require.Equal(t, 200, status)
			require.Equal(t, "/apis/saldo/1", body)
			status, _ = get(fake.SelfService().URL() + "/clients")
			require.Equal(t, 200, status)
			status, _ = get(fake.Altinn().URL() + "/authentication/api/v1/exchange/maskinporten")
			require.Equal(t, 200, status)
			status, _ = get(fake.URL() + "/elsewhere")
			require.Equal(t, 404, status)
		})
	}
}

// Another process needs no more than CA to trust both the server and the
// certificates.
func TestCA(t *testing.T) {
	fake := maskinportentest.NewTLSServer()
	defer fake.Close()
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(fake.CA()))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(fake.Environment().JWKSURL)
	require.NoError(t, err)
	resp.Body.Close()

	chain := maskinportentest.Certificate{}.Chain()
	intermediates := x509.NewCertPool()
	intermediates.AddCert(chain[1])
	_, err = chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	require.NoError(t, err)
}

func TestNewAtWantsAnAddress(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8085", "ftp://x", "http://", "http://x?a=b", "http://x#a"} {
		require.Panics(t, func() { maskinportentest.NewAt(bad) }, bad)
	}
	taken := maskinportentest.NewServer()
	defer taken.Close()
	require.Panics(t, func() { maskinportentest.NewServerAt(taken.URL()[len("http://"):]) })
}

// A program that is configured once finds the fake at the same address always.
func ExampleNewServerAt() {
	fake := maskinportentest.NewServerAt("127.0.0.1:0") // such as 127.0.0.1:8085
	defer fake.Close()

	env, err := maskinporten.Discover(context.Background(), fake.HTTPClient(), fake.URL()+"/.well-known/oauth-authorization-server")
	fmt.Println(env == fake.Environment(), err)
	// Output: true <nil>
}

// Under a mux of one's own, everything lies below the address given.
func ExampleNewAt() {
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	fake := maskinportentest.NewAt(server.URL + "/maskinporten")
	mux.Handle("/maskinporten/", fake)

	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}
	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "bank:saldo"})
	fmt.Println(fake.TokenRequests(), err)
	// Output: 1 <nil>
}
