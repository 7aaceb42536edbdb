// Package apis knows the APIs that pension providers call, as DSOP's "Data for
// ajourhold av OTP" lists them (https://dokumentasjon.dsop.no): their scopes,
// where they are, and how many calls each takes at a time.
//
//	api, err := apis.SkatteetatenInntekt.HTTPClient(client, "")
//	resp, err := api.Get(apis.SkatteetatenInntekt.BaseURL(client.Environment()) + "/otp/…")
package apis

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/maskinporten-go/maskinporten"
)

// API is an API that takes Maskinporten's tokens. The values of this package
// are the APIs as they are; an API of your own is a literal with the same
// fields.
type API struct {
	Name  string
	Scope string

	// ProdURL and TestURL are the base URLs in production and test: https
	// (http for a loopback address) and without a trailing slash.
	ProdURL, TestURL string

	// Concurrency is how many calls the API takes at a time from one
	// organisation. Clients made by [API.HTTPClient] queue the rest. Zero means
	// that no limit is known. Among values that share their limit, the smallest
	// that a client was made with holds until the process ends.
	Concurrency int

	base   http.RoundTripper
	places *places // of a value from At or Via; nil means the process's
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

	// SkatteetatenInntektsmottakere lists for whom an employer reports income.
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

// At returns a copy of the API whose base URL is baseURL in every environment,
// for a test server or a gateway of your own.
//
// The copy's limit of calls at a time is its own, shared by all clients made
// from it: call At once and keep the value.
func (a API) At(baseURL string) API {
	a.ProdURL, a.TestURL = baseURL, baseURL
	a.places = new(places)
	return a
}

// Via returns a copy of the API whose calls go through base instead of
// [http.DefaultTransport]: a fake API in memory, a CA of your own, tracing.
//
// The copy's limit of calls at a time is its own, shared by all clients made
// from it: call Via once and keep the value.
func (a API) Via(base http.RoundTripper) API {
	a.base = base
	a.places = new(places)
	return a
}

// BaseURL returns where the API is for tokens of env: ProdURL for
// [maskinporten.Prod], else TestURL.
func (a API) BaseURL(env maskinporten.Environment) string {
	if env.Issuer == maskinporten.Prod.Issuer {
		return a.ProdURL
	}
	return a.TestURL
}

// HTTPClient makes a client for the API with c's tokens: for the client's own
// organisation, or on behalf of consumerOrg if that is not empty. It costs no
// I/O. A bad consumerOrg or URL is a *[maskinporten.FieldError].
//
// A call first waits for its place among those that the API takes at a time,
// then gets its token, and keeps its place until its answer's body has been read
// to the end or closed, or until its context ends. The places of an API (that
// is a scope at a base URL) and an organisation are shared by all clients of
// the process; tests that run side by side, in bubbles of testing/synctest
// above all, use a value of their own from [API.Via] or [API.At]. A wait for a
// place ends with the call's context. An error while
// waiting says how long the wait was, how many wait, and for how long the
// oldest call under way has had its place; a queue that has not moved for ten
// seconds is logged once.
//
// A redirect to another host is not followed, for the person's number in the
// query or the body would go along: the caller gets the redirect as the answer.
//
// A client with another environment than [maskinporten.Prod] and
// [maskinporten.Test] calls the test API; use [API.At] if it is elsewhere. The
// client has no Timeout: give calls a context, or set one, which counts the time
// in the queue too.
func (a API) HTTPClient(c *maskinporten.Client, consumerOrg string) (*http.Client, error) {
	u, err := a.parseURL(c)
	if err != nil {
		return nil, err
	}
	t, err := c.Transport(maskinporten.Request{Scope: a.Scope, ConsumerOrg: consumerOrg}, a.base, u.Host)
	if err != nil {
		return nil, err
	}
	of := a.places
	if of == nil {
		of = &process
	}
	l := &limiter{
		api:      apiKey{a.Scope, a.BaseURL(c.Environment())},
		name:     a.Name,
		host:     u.Host,
		consumer: consumerOrg,
		client:   c,
		places:   of,
		base:     t,
	}
	of.restrict(l.api, a.Concurrency)
	return &http.Client{Transport: l, CheckRedirect: sameHost}, nil
}

// parseURL returns the base URL for c's environment.
func (a API) parseURL(c *maskinporten.Client) (*url.URL, error) {
	invalid := func(problem string) error {
		return &maskinporten.FieldError{Field: "API", Problem: problem}
	}
	raw := a.BaseURL(c.Environment())
	if raw == "" {
		return nil, invalid("has no base URL for this client's environment: set ProdURL and TestURL, or use At")
	}
	u, err := url.Parse(raw)
	switch {
	case err == nil && u.User != nil:
		return nil, invalid("has a base URL with a user name or a password: leave them out")
	case err != nil, !strings.Contains(raw, "://"):
		return nil, invalid(fmt.Sprintf("has the base URL %q, which is not a URL: give it with its scheme, https://host/path", raw))
	case u.Host == "":
		return nil, invalid(fmt.Sprintf("has the base URL %q, which names no host: give it as https://host/path", raw))
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return u, nil
	}
	return nil, invalid(fmt.Sprintf("has the base URL %q, which is not https: a token goes over http only to a loopback address", raw))
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// sameHost follows redirects as net/http does, but not off the host that the
// call was made to.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if req.URL.Scheme != first.Scheme || !strings.EqualFold(req.URL.Host, first.Host) {
		return http.ErrUseLastResponse
	}
	const maxRedirects = 10 // as net/http's own
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	return nil
}
