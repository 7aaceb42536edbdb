package apis_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/stretchr/testify/require"
)

// https://dokumentasjon.dsop.no and https://skatteetaten.github.io/api-dokumentasjon.
func TestAPIsAreWhereTheyAre(t *testing.T) {
	for _, tt := range []struct {
		api                     apis.API
		scope, production, test string
	}{
		{apis.SkatteetatenInntekt, "skatteetaten:inntekt", "https://inntekt.api.skatteetaten.no/v1", "https://inntekt.api.skatteetaten-test.no/v1"},
		{apis.SkatteetatenInntektsmottakere, "skatteetaten:inntektsmottakere", "https://inntektsmottakere.api.skatteetaten.no/v1", "https://inntektsmottakere.api.skatteetaten-test.no/v1"},
		{apis.SkatteetatenTjenestepensjonsavtale, "skatteetaten:tjenestepensjonsavtale", "https://tjenestepensjonsavtale.api.skatteetaten.no/v1", "https://tjenestepensjonsavtale.api.skatteetaten-test.no/v1"},
		{apis.NAVAaregOTP, "nav:aareg/v1/arbeidsforhold/otp", "https://arbeidsforhold-gw.nav.no/aareg/v1/arbeidsforhold/otp/graphql", "https://arbeidsforhold-gw.ekstern.dev.nav.no/aareg/v1/arbeidsforhold/otp/graphql"},
	} {
		require.Equal(t, tt.scope, tt.api.Scope)
		require.Equal(t, tt.production, tt.api.BaseURL(maskinporten.Prod))
		require.Equal(t, tt.test, tt.api.BaseURL(maskinporten.Test))
	}
}

func TestSixthCallQueues(t *testing.T) {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	client := newClient(t, fake)

	var inside, most atomic.Int64
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	server := httptest.NewServer(fake.Guard("skatteetaten:inntekt", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := inside.Add(1)
		defer inside.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		arrived <- struct{}{}
		<-release
		io.WriteString(w, "svar")
	})))
	defer server.Close()
	api := apis.SkatteetatenInntekt.At(server.URL)

	// Two clients for one organisation share its five places; another
	// organisation has five of its own.
	a, err := api.HTTPClient(client, "")
	require.NoError(t, err)
	b, err := api.HTTPClient(client, "")
	require.NoError(t, err)
	other, err := api.HTTPClient(client, customer)
	require.NoError(t, err)
	var wg sync.WaitGroup
	call := func(hc *http.Client) {
		wg.Go(func() {
			resp, err := hc.Get(server.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); string(body) != "svar" {
				t.Errorf("%s %s", resp.Status, body)
			}
		})
	}
	for range 10 {
		call(a)
		call(b)
	}
	for range 5 {
		<-arrived
	}
	call(other)
	<-arrived
	require.EqualValues(t, 6, inside.Load(), "five, and one of another organisation")

	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	body := &closed{Reader: strings.NewReader("x")}
	go func() {
		req, _ := http.NewRequestWithContext(ctx, "POST", server.URL, body)
		_, err := a.Do(req)
		left <- err
	}()
	cancel()
	require.ErrorIs(t, <-left, context.Canceled, "the queue obeys the caller's context")
	close(release)
	wg.Wait()
	require.EqualValues(t, 6, most.Load())
	require.Equal(t, 2, fake.TokenRequests())
}

type closed struct {
	io.Reader
	atomic.Bool
}

func (c *closed) Close() error { c.Store(true); return nil }

func TestPanicInACallKeepsNoPlace(t *testing.T) {
	fake := maskinportentest.New()
	api := apis.SkatteetatenInntekt.Via(panicking{})
	hc, err := api.HTTPClient(newClient(t, fake), "")
	require.NoError(t, err)
	for range 20 {
		require.Panics(t, func() { hc.Get(api.TestURL) })
	}
}

type panicking struct{}

func (panicking) RoundTrip(*http.Request) (*http.Response, error) { panic("in a call") }

func TestAPIInMemory(t *testing.T) {
	fake := maskinportentest.New()
	fake.Handle("inntekt.api.skatteetaten-test.no", fake.Guard("skatteetaten:inntekt", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "svar")
	})))
	hc, err := apis.SkatteetatenInntekt.Via(fake.Transport()).HTTPClient(newClient(t, fake), "")
	require.NoError(t, err)
	resp, err := hc.Get(apis.SkatteetatenInntekt.TestURL + "/otp")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "svar", string(body))
}

func TestAPIRefuses(t *testing.T) {
	client := newClient(t, maskinportentest.New())
	_, err := apis.SkatteetatenInntekt.HTTPClient(client, "123456789")
	requireField(t, err, "Request.ConsumerOrg")
	_, err = apis.API{Scope: "s"}.HTTPClient(client, "")
	requireField(t, err, "API")
	hc, err := apis.SkatteetatenInntekt.HTTPClient(client, "")
	require.NoError(t, err)
	_, err = hc.Get("https://api.example.no")
	require.ErrorContains(t, err, "no token is sent to")
}

const customer = "313367002"

func newClient(t *testing.T, fake *maskinportentest.Fake) *maskinporten.Client {
	t.Helper()
	client, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	return client
}

func requireField(t *testing.T, err error, field string) {
	t.Helper()
	var f *maskinporten.FieldError
	require.ErrorAs(t, err, &f)
	require.Equal(t, field, f.Field)
	require.NotEmpty(t, f.Problem)
}

// Known APIs do not lead a person's query to another host.
func TestRedirectOffTheHostIsNotFollowed(t *testing.T) {
	for _, tt := range []struct {
		reason, location string
		seen             []string
	}{
		{"another host", "https://other.example.no/x", []string{"https://api.example.no/otp/1"}},
		{"another port", "https://api.example.no:8443/x", []string{"https://api.example.no/otp/1"}},
		{"without TLS", "http://api.example.no/x", []string{"https://api.example.no/otp/1"}},
		{"the same host", "/x", []string{"https://api.example.no/otp/1", "https://api.example.no/x"}},
		{"the same host in other letters", "https://API.example.no/x", []string{"https://api.example.no/otp/1", "https://API.example.no/x"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			var seen []string
			s := &server{respond: func(req *http.Request) *http.Response {
				seen = append(seen, req.URL.String())
				if req.Header.Get("Authorization") == "" {
					t.Error("without a token")
				}
				if len(seen) > 1 {
					return answer(200, http.NoBody)
				}
				resp := answer(307, open())
				resp.Header.Set("Location", tt.location)
				return resp
			}}
			api := apis.API{Name: "x", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 1}.Via(s)
			hc := httpClient(t, api, newClient(t, maskinportentest.New()), "")
			resp, err := hc.Post(api.TestURL+"/otp/1", "text/plain", strings.NewReader("25922947409"))
			require.NoError(t, err)
			defer resp.Body.Close()
			require.Equal(t, tt.seen, seen)
			require.Equal(t, map[bool]int{true: 200, false: 307}[len(tt.seen) > 1], resp.StatusCode)
		})
	}
	s := &server{respond: func(req *http.Request) *http.Response {
		resp := answer(307, open())
		resp.Header.Set("Location", "/again")
		return resp
	}}
	api := apis.API{Name: "x", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 1}.Via(s)
	_, err := httpClient(t, api, newClient(t, maskinportentest.New()), "").Get(api.TestURL)
	require.ErrorContains(t, err, "stopped after 10 redirects")
}

func TestBaseURLs(t *testing.T) {
	client := newClient(t, maskinportentest.New())
	for _, tt := range []struct{ reason, url, problem string }{
		{"none", "", "no base URL"},
		{"without TLS", "http://api.example.no/v1", "not https"},
		{"without a scheme", "api.example.no/v1", "scheme"},
		{"without a scheme, with a port", "api.example.no:443/v1", "scheme"},
		{"without a host", "https:///v1", "names no host"},
		{"with a password", "https://user:secret@api.example.no", "password"},
		{"with a space", "https://api.example.no /v1", "not a URL"},
		{"another scheme", "ftp://api.example.no", "not https"},
		{"a loopback address", "http://127.0.0.1:8080", ""},
		{"localhost", "http://localhost/v1", ""},
		{"as it should be", "https://api.example.no:8443/v1", ""},
	} {
		_, err := apis.SkatteetatenInntekt.At(tt.url).HTTPClient(client, "")
		if tt.problem == "" {
			require.NoError(t, err, tt.reason)
			continue
		}
		requireField(t, err, "API")
		require.ErrorContains(t, err, tt.problem, tt.reason)
		require.NotContains(t, err.Error(), "secret")
	}
	own := maskinporten.Environment{Issuer: "https://own.example.no/", TokenURL: "https://own.example.no/token"}
	require.Equal(t, apis.SkatteetatenInntekt.TestURL, apis.SkatteetatenInntekt.BaseURL(own), "an environment that is not production's calls test")
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	base := &closingIdle{}
	hc := httpClient(t, apis.SkatteetatenInntekt.Via(base), newClient(t, maskinportentest.New()), "")
	hc.CloseIdleConnections()
	require.Equal(t, 1, base.closed)
}

type closingIdle struct {
	http.RoundTripper
	closed int
}

func (c *closingIdle) CloseIdleConnections() { c.closed++ }
