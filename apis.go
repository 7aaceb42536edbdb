package maskinporten

import (
	"context"
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
}

// Skatteetaten takes five calls at a time per API and organisation. Its paths
// begin with the rettighetspakke, for pensions otp:
// /otp/{pid}/inntekter?fraOgMed=2026-01&tilOgMed=2026-06.
var (
	// SkatteetatenInntekt gives a person's income, month by month.
	SkatteetatenInntekt = skatteetaten("Inntekt", "inntekt")

	// SkatteetatenInntektsmottakere tells for whom an employer reports income.
	SkatteetatenInntektsmottakere = skatteetaten("Inntektsmottakere", "inntektsmottakere")

	// SkatteetatenTjenestepensjonsavtale takes reports of pension agreements.
	SkatteetatenTjenestepensjonsavtale = skatteetaten("Tjenestepensjonsavtale", "tjenestepensjonsavtale")

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

func skatteetaten(name, slug string) API {
	return API{
		Name:        "Skatteetaten " + name,
		Scope:       "skatteetaten:" + slug,
		ProdURL:     "https://" + slug + ".api.skatteetaten.no/v1",
		TestURL:     "https://" + slug + ".api.skatteetaten-test.no/v1",
		Concurrency: 5,
	}
}

// At is a with baseURL as its address in every environment, for a test server
// or a gateway of your own.
func (a API) At(baseURL string) API {
	a.ProdURL, a.TestURL = baseURL, baseURL
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
// use [API.At] if it is elsewhere. A bad consumerOrg or URL is a *[FieldError].
func (a API) HTTPClient(c *Client, consumerOrg string) (*http.Client, error) {
	u, err := url.Parse(a.BaseURL(c.env))
	if err != nil || u.Host == "" {
		return nil, invalid("API", "has no URL for "+c.env.name()+": set one with At")
	}
	t, err := c.Transport(Request{Scope: a.Scope, ConsumerOrg: consumerOrg}, nil, u.Host)
	if err != nil {
		return nil, err
	}
	if a.Concurrency > 0 {
		t.base = &limited{lane: c.laneOf(a, consumerOrg), base: t.base}
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
	resp, err := l.base.RoundTrip(req)
	if err != nil || resp.Body == nil {
		leave()
		return resp, err
	}
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
		return ctx.Err()
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
