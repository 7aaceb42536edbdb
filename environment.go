package maskinporten

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Environment is one Maskinporten: its issuer, its token endpoint and, for
// verifying tokens (package resourceserver), its key set. Use [Prod] or [Test],
// fill one in for another server, or let [Discover] read it from the server's
// metadata.
//
// Issuer is used exactly as given, as `aud` of a grant and `iss` of a token:
// Maskinporten's ends in a slash, Skyporten's does not. TokenURL and JWKSURL
// must be https, unless their host is a loopback address. JWKSURL may be empty
// when nothing is verified.
type Environment struct{ Issuer, TokenURL, JWKSURL string }

// The environments Digdir runs, as its metadata describes them
// (https://docs.digdir.no/docs/Maskinporten/maskinporten_func_wellknown).
// A production certificate works only in Prod, a test certificate only in Test.
var (
	Prod = Environment{
		Issuer:   "https://maskinporten.no/",
		TokenURL: "https://maskinporten.no/token",
		JWKSURL:  "https://maskinporten.no/jwk",
	}
	Test = Environment{
		Issuer:   "https://test.maskinporten.no/",
		TokenURL: "https://test.maskinporten.no/token",
		JWKSURL:  "https://test.maskinporten.no/jwk",
	}
)

// Ver2 is the old verification environment.
//
// Deprecated: Digdir phased it out on 2024-06-10; use [Test].
var Ver2 = Environment{
	Issuer:   "https://ver2.maskinporten.no/",
	TokenURL: "https://ver2.maskinporten.no/token",
	JWKSURL:  "https://ver2.maskinporten.no/jwk",
}

// digdirs are the environments that Digdir runs, or ran.
var digdirs = []Environment{Prod, Test, Ver2}

// name is what an error or a log line calls the environment.
func (e Environment) name() string {
	switch e.Issuer {
	case Prod.Issuer:
		return "prod"
	case Test.Issuer:
		return "test"
	case Ver2.Issuer:
		return "ver2"
	}
	return e.Issuer
}

func (e Environment) validate() error {
	if e == (Environment{}) {
		return invalid("Environment", "is missing: use maskinporten.Prod or maskinporten.Test")
	}
	if err := checkEndpoint("Environment.Issuer", e.Issuer); err != nil {
		return err
	}
	if e.Issuer+"/" == Prod.Issuer || e.Issuer+"/" == Test.Issuer {
		return invalid("Environment.Issuer", fmt.Sprintf("%q lacks the slash at its end: Maskinporten's has one, and compares it to the letter", e.Issuer))
	}
	if err := checkEndpoint("Environment.TokenURL", e.TokenURL); err != nil {
		return err
	}
	if e.JWKSURL != "" {
		if err := checkEndpoint("Environment.JWKSURL", e.JWKSURL); err != nil {
			return err
		}
	}
	return e.checkMixture()
}

// checkMixture refuses URLs of Digdir's that do not belong together: a grant
// for one environment would go to another.
func (e Environment) checkMixture() error {
	for _, d := range digdirs {
		for _, part := range []struct{ field, url, right string }{
			{"Environment.TokenURL", e.TokenURL, d.TokenURL}, {"Environment.JWKSURL", e.JWKSURL, d.JWKSURL},
		} {
			switch {
			case !sameHost(part.url, d.Issuer):
			case e.Issuer != d.Issuer:
				return invalid(part.field, fmt.Sprintf("is of %s, and Environment.Issuer %q is not: take both from one environment", d.name(), e.Issuer))
			case part.url != part.right:
				return invalid(part.field, fmt.Sprintf("%q is not the one of %s: give %s", part.url, d.name(), part.right))
			}
		}
	}
	return nil
}

func sameHost(a, b string) bool {
	u, err := url.Parse(a)
	v, err2 := url.Parse(b)
	if err != nil || err2 != nil {
		return false
	}
	// A dot at the end of a name makes no other host of it.
	return strings.EqualFold(strings.TrimSuffix(u.Hostname(), "."), strings.TrimSuffix(v.Hostname(), "."))
}

// checkEndpoint refuses a URL that a grant, or trust in keys, must not depend on.
func checkEndpoint(field, raw string) error {
	if problem := endpoint.CheckURL(raw); problem != "" {
		return invalid(field, problem)
	}
	return nil
}

const wellKnown = ".well-known/oauth-authorization-server"

// Discover reads an environment from its metadata (RFC 8414), for instance at
// https://test.maskinporten.no/.well-known/oauth-authorization-server. The
// issuer that the metadata states must be the one whose URL was asked (RFC
// 8414 §3.3); it is kept exactly as stated.
//
// hc may be nil. Redirects are not followed, an answer may be 1 MiB and take
// 20 seconds. Discover is for start-up: what it returns does not change.
func Discover(ctx context.Context, hc *http.Client, wellKnownURL string) (Environment, error) {
	fail := func(err error) (Environment, error) {
		return Environment{}, fmt.Errorf("maskinporten: reading the metadata at %s: %w", wellKnownURL, err)
	}
	if err := checkEndpoint("wellKnownURL", wellKnownURL); err != nil {
		return Environment{}, err
	}
	before, after, ok := strings.Cut(wellKnownURL, wellKnown)
	if !ok || !strings.HasSuffix(before, "/") {
		return Environment{}, invalid("wellKnownURL", "does not contain /"+wellKnown)
	}
	body, err := endpoint.Get(ctx, endpoint.NewClient(hc), wellKnownURL)
	if err != nil {
		return fail(err)
	}
	var metadata struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
		JWKSURI       string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil {
		return fail(errors.New("the answer is not JSON metadata"))
	}
	// Skyporten's issuer has no trailing slash, Maskinporten's has: compare
	// without, keep what is stated.
	asked := strings.TrimSuffix(before, "/") + strings.TrimSuffix(after, "/")
	if strings.TrimSuffix(metadata.Issuer, "/") != asked {
		return fail(fmt.Errorf("it states the issuer %q, which is not whose metadata was asked for", redact.Clean(metadata.Issuer, 200)))
	}
	env := Environment{Issuer: metadata.Issuer, TokenURL: metadata.TokenEndpoint, JWKSURL: metadata.JWKSURI}
	if err := env.validate(); err != nil {
		return fail(err)
	}
	return env, nil
}
