package maskinporten

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
)

// API is one of the APIs that pension providers call, as DSOP's "Data for
// ajourhold av OTP" lists them (https://dokumentasjon.dsop.no): its scope, where
// it is and how many calls it takes at a time.
//
// The values of this package are the APIs as they are; an API of your own is a
// literal with the same fields.
type API struct {
	Name  string
	Scope string

	// ProdURL and TestURL are the base URLs in production and test, https and
	// without a trailing slash.
	ProdURL, TestURL string

	// Concurrency is how many calls the API takes at a time from one
	// organisation; a client made by HTTPClient queues the rest. Zero means
	// that no limit is known.
	Concurrency int

	base http.RoundTripper
}

// Skatteetaten takes five calls at a time per API and organisation. Its paths
// begin with the rettighetspakke, for pensions otp:
// /otp/{pid}/inntekter?fraOgMed=2026-01&tilOgMed=2026-06.
var (
	// SkatteetatenInntekt gives a person's income, month by month.
	SkatteetatenInntekt = API{
		Name:        "Skatteetaten Inntekt",
		Scope:       "skatteetaten:inntekt",
		ProdURL:     "https://inntekt.api.skatteetaten.no/v1",
		TestURL:     "https://inntekt.api.skatteetaten-test.no/v1",
		Concurrency: 5,
	}

	// SkatteetatenInntektsmottakere tells for whom an employer reports income.
	SkatteetatenInntektsmottakere = API{
		Name:        "Skatteetaten Inntektsmottakere",
		Scope:       "skatteetaten:inntektsmottakere",
		ProdURL:     "https://inntektsmottakere.api.skatteetaten.no/v1",
		TestURL:     "https://inntektsmottakere.api.skatteetaten-test.no/v1",
		Concurrency: 5,
	}

	// SkatteetatenTjenestepensjonsavtale takes reports of pension agreements.
	SkatteetatenTjenestepensjonsavtale = API{
		Name:        "Skatteetaten Tjenestepensjonsavtale",
		Scope:       "skatteetaten:tjenestepensjonsavtale",
		ProdURL:     "https://tjenestepensjonsavtale.api.skatteetaten.no/v1",
		TestURL:     "https://tjenestepensjonsavtale.api.skatteetaten-test.no/v1",
		Concurrency: 5,
	}

	// NAVAaregOTP is Aa-registeret's employments for mandatory occupational
	// pension (OTP). It is GraphQL: POST {"query", "variables"} to the base URL;
	// a query that fails comes back as HTTP 200 with errors.
	NAVAaregOTP = API{
		Name:    "NAV Aa-registeret OTP",
		Scope:   "nav:aareg/v1/arbeidsforhold/otp",
		ProdURL: "https://arbeidsforhold-gw.nav.no/aareg/v1/arbeidsforhold/otp/graphql",
		TestURL: "https://arbeidsforhold-gw.ekstern.dev.nav.no/aareg/v1/arbeidsforhold/otp/graphql",
	}
)

// At is a with baseURL as its address in every environment, for a test server
// or a gateway of your own.
func (a API) At(baseURL string) API {
	a.ProdURL, a.TestURL = baseURL, baseURL
	return a
}

// Via is a whose calls go through base instead of [http.DefaultTransport]: a
// fake API in memory, a CA of your own, tracing.
func (a API) Via(base http.RoundTripper) API {
	a.base = base
	return a
}

// BaseURL is where a is for tokens of env: ProdURL for [Prod], else TestURL.
func (a API) BaseURL(env Environment) string {
	if env.Issuer == Prod.Issuer {
		return a.ProdURL
	}
	return a.TestURL
}

// HTTPClient makes a client for a with c's tokens: for the client's own
// organisation, or on behalf of consumerOrg if that is not empty. All clients
// of one API and organisation share its limit of calls at a time; a call that
// has to queue leaves when its context ends. A call lasts until its answer's
// body has been read to the end or closed.
//
// A client with another environment than [Prod] and [Test] calls the test API;
// use [API.At] if it is elsewhere. The client has no Timeout: give calls a
// context, or set one. A bad consumerOrg or URL is a *[FieldError].
func (a API) HTTPClient(c *Client, consumerOrg string) (*http.Client, error) {
	u, err := url.Parse(a.BaseURL(c.env))
	if err != nil || u.Host == "" {
		return nil, invalid("API", "has no URL for "+c.env.name()+": set one with At")
	}
	t, err := c.Transport(Request{Scope: a.Scope, ConsumerOrg: consumerOrg}, a.base, u.Host)
	if err != nil {
		return nil, err
	}
	if a.Concurrency > 0 {
		t.base = &limited{name: a.Name, lane: c.laneOf(a, consumerOrg), base: t.base}
	}
	return &http.Client{Transport: t}, nil
}

// lane is an API and the organisation that calls it.
type lane struct{ scope, baseURL, consumer string }

func (c *Client) laneOf(a API, consumerOrg string) chan struct{} {
	key := lane{a.Scope, a.BaseURL(c.env), consumerOrg}
	c.lanesMu.Lock()
	defer c.lanesMu.Unlock()
	l, ok := c.lanes[key]
	if !ok {
		l = make(chan struct{}, a.Concurrency)
		c.lanes[key] = l
	}
	return l
}

// limited lets as many calls through as its lane is wide. It stands below
// Transport, so that a call that waits for a token takes no place.
type limited struct {
	name string
	lane chan struct{}
	base http.RoundTripper
}

func (l *limited) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := l.enter(req.Context()); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	leave := sync.OnceFunc(func() { <-l.lane })
	stays := false
	defer func() {
		if !stays { // also when the base panics
			leave()
		}
	}()
	resp, err := l.base.RoundTrip(req)
	if err != nil || resp.Body == nil {
		return resp, err
	}
	stays = true
	resp.Body = &lastRead{ReadCloser: resp.Body, leave: leave}
	return resp, nil
}

func (l *limited) enter(ctx context.Context) error {
	select {
	case l.lane <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.lane <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("maskinporten: waiting for one of the %d calls that %s takes at a time (is the body of every answer closed?): %w", cap(l.lane), l.name, ctx.Err())
	}
}

func (l *limited) CloseIdleConnections() {
	if base, ok := l.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// lastRead leaves the lane when the body has been read or closed.
type lastRead struct {
	io.ReadCloser
	leave func()
}

func (b *lastRead) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.leave()
	}
	return n, err
}

func (b *lastRead) Close() error {
	err := b.ReadCloser.Close()
	b.leave()
	return err
}
