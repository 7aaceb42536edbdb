package maskinportentest_test

import (
	"encoding/base64"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// verdict is a kind of grant, and what becomes of it.
type verdict struct {
	name string

	// rule is what decides it, or undecided: Digdir's pages do not say.
	rule string

	make func(*raw)

	// strict and deployed are ok, Maskinporten's code, or the OAuth error of a
	// refusal without one. An empty deployed is as strict.
	strict, deployed string
}

// Digdir's pages (docs.digdir.no), the standards they build on, and what has
// been read or measured elsewhere.
const (
	undecided     = "undecided"
	grantHeader   = "jwt grant page: alg RS256, RS384 or RS512, and exactly one of x5c and kid"
	grantClaims   = "jwt grant page: the claims of a grant"
	grantTime     = "jwt grant page: iat within 10 s, exp at most 120 s after it"
	grantChain    = "jwt grant page: x5c is an array of base64 DER, leaf first, full chain"
	grantConsumer = "jwt grant page: consumer_org is the nine digits of the legal consumer"
	grantResource = "jwt grant page: resource, only array supported"
	keysPage      = "client registration page: a client with registered keys must use kid; keys live one year"
	certificates  = "certificates page: of this environment, the owner's, with Digital Signature, RSA"
	errorsPage    = "error page: the table of codes"
	tokenEndpoint = "token endpoint page: POST, a form of grant_type and assertion, no client authentication"
	rfc6749       = "RFC 6749 §3.2, §5.2: parameters once; unsupported_grant_type"
	rfc7515       = "RFC 7515 §3.1, §4.1.11, §7.1: three parts in base64url; crit"
	rfc7519       = "RFC 7519 §4, §7.2: claims are one object, its names are unique"
	details9396   = "systembruker page: type, systemuser_org, externalRef; one party a request"
	consentPage   = "docs.altinn.studio, consent: type, id, from"
	deployedNotes = "the server's source as read in altinn-studio#19603; docs#455; clients in production"
	modulus11     = "Brønnøysundregistrene: nine digits, modulus 11"
)

// verdictWorld is what all these grants are sent to.
func verdictWorld() *fake {
	f := maskinportentest.New()
	f.AddClient(maskinportentest.Integration{ID: "keys", Keys: []maskinportentest.Key{
		{ID: "k1", Public: &testKey().PublicKey},
		{ID: "old", Public: &testKey().PublicKey, Expires: time.Now().Add(-time.Hour)},
		{ID: "ending", Public: &testKey().PublicKey, Expires: time.Now().Add(time.Hour)},
		{ID: "another", Public: &otherKey().PublicKey},
	}})
	f.AddClient(maskinportentest.Integration{ID: "others-keys", Keys: []maskinportentest.Key{{ID: "k2", Public: &testKey().PublicKey}}})
	f.AddClient(maskinportentest.Integration{ID: "narrow", Scopes: []string{"bank:lan", "bank:apen"}})
	f.AddClient(maskinportentest.Integration{ID: "login", IntegrationType: "idporten"})
	f.AddClient(maskinportentest.Integration{ID: "theirs", OrgNumber: otherOrg})
	f.AddClient(maskinportentest.Integration{ID: "mapped", OnBehalfOf: map[string]string{"kunde-1": otherOrg}})
	f.GrantAccess("bank:stengt", otherOrg)
	f.WithdrawAccess("bank:tatt", maskinportentest.DefaultOrgNumber)
	f.SetAccess("bank:bedt", maskinportentest.AccessRequested, maskinportentest.DefaultOrgNumber)
	f.Undelegate("bank:saldo", thirdOrg, maskinportentest.DefaultOrgNumber)
	f.AddSystemUser(maskinportentest.SystemUser{OrgNumber: otherOrg})
	f.AddSystemUser(maskinportentest.SystemUser{OrgNumber: otherOrg, ExternalRef: "avd_Ø-1"})
	f.AddSystemUser(maskinportentest.SystemUser{OrgNumber: thirdOrg, ClientID: "narrow"})
	for from, validTo := range map[string]time.Duration{givenBy: time.Hour, "urn:altinn:organization:identifier-no:" + otherOrg: -time.Hour} {
		id := givenConsent
		if validTo < 0 {
			id = overConsent
		}
		f.AddConsent(resourceserver.ConsentClaim{ID: id, From: from, To: maskinportentest.DefaultOrgNumber, ValidTo: time.Now().Add(validTo)})
	}
	return f
}

const (
	givenConsent = "77ed8698-e619-4066-9eb4-5c1eb3f165a1"
	overConsent  = "93413201-b7e8-4ec3-a899-580fc02c6aeb"
	givenBy      = "urn:altinn:person:identifier-no:25922947409"
)

// defaultChain is made once: it is the same for most of the grants.
var defaultChain = sync.OnceValue(func() []string {
	var x5c []string
	for _, c := range (maskinportentest.Certificate{Key: testKey()}).Chain() {
		x5c = append(x5c, base64.StdEncoding.EncodeToString(c.Raw))
	}
	return x5c
})

// Every kind of grant gets its verdict from a Fake that is strict and from one as
// deployed, in whatever order they come: in another one each time.
func TestVerdicts(t *testing.T) {
	strict, deployed := verdictWorld(), verdictWorld()
	deployed.AsDeployed()
	all := verdicts()
	t.Logf("%d kinds", len(all))
	seen := make(map[string]bool)
	for _, v := range all {
		require.NotEmpty(t, v.rule, v.name)
		require.False(t, seen[v.name], "two kinds are named %q", v.name)
		seen[v.name] = true
	}
	judge := func(g *raw, assertion string, f *fake) string {
		s := g.postAssertion(t, f, assertion)
		switch {
		case s.Status == http.StatusOK:
			return "ok"
		case s.mp() != "":
			return s.mp()
		}
		return s.Error
	}
	check := func(v verdict) {
		t.Helper()
		g := newRawWith(strict.Environment(), defaultChain())
		v.make(g)
		assertion := g.sign(t)
		assert.Equal(t, v.strict, judge(g, assertion, strict), "%s: %s (%s)", v.name, strict.LastGrant().Description, v.rule)
		want := v.deployed
		if want == "" {
			want = v.strict
		}
		assert.Equal(t, want, judge(g, assertion, deployed), "%s, as deployed: %s (%s)", v.name, deployed.LastGrant().Description, v.rule)
		if v.deployed == "ok" && v.strict != "ok" {
			assert.NotEmpty(t, deployed.LastGrant().Warnings, v.name)
		} else if want == "ok" {
			assert.Empty(t, deployed.LastGrant().Warnings, v.name)
		}
	}
	seed := rand.Uint64()
	t.Logf("shuffled with seed %d", seed)
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, v := range all {
		check(v)
	}
}

func verdicts() []verdict {
	var all []verdict
	for _, part := range [][]verdict{
		formVerdicts(), shapeVerdicts(), headerVerdicts(), chainVerdicts(), clientVerdicts(), timeVerdicts(),
		scopeVerdicts(), consumerVerdicts(), resourceVerdicts(), systemUserVerdicts(), consentVerdicts(), accessVerdicts(),
	} {
		all = append(all, part...)
	}
	return all
}

// What a kind changes.

func nothing(*raw) {}

func set(name string, value any) func(*raw) { return func(g *raw) { g.claims[name] = value } }

func drop(name string) func(*raw) { return func(g *raw) { delete(g.claims, name) } }

func header(name string, value any) func(*raw) { return func(g *raw) { g.header[name] = value } }

func compact(change func(string) string) func(*raw) { return func(g *raw) { g.compact = change } }

func parameter(name string, values ...string) func(*raw) {
	return func(g *raw) {
		g.form = func(v url.Values) {
			v[name] = values
			if values == nil {
				v.Del(name)
			}
		}
	}
}

func httpHeader(name, value string) func(*raw) {
	return func(g *raw) { g.request = func(r *http.Request) { r.Header.Set(name, value) } }
}

func both(changes ...func(*raw)) func(*raw) {
	return func(g *raw) {
		for _, c := range changes {
			c(g)
		}
	}
}

func issuedBy(client string) func(*raw) { return set("iss", client) }

func keyed(client, kid string) func(*raw) {
	return func(g *raw) { g.claims["iss"] = client; g.useKey(kid) }
}

func times(iat, exp time.Duration) func(*raw) {
	return func(g *raw) {
		now := time.Now()
		g.claims["iat"], g.claims["exp"] = now.Add(iat).Unix(), now.Add(exp).Unix()
	}
}

func certified(c maskinportentest.Certificate) func(*raw) {
	return func(g *raw) { g.certify(c) }
}

func x5c(change func([]string) any) func(*raw) {
	return func(g *raw) { g.header["x5c"] = change(g.x5c()) }
}

func formVerdicts() []verdict {
	method := func(m string) func(*raw) {
		return func(g *raw) { g.request = func(r *http.Request) { r.Method = m } }
	}
	body := func(text string) func(*raw) {
		return func(g *raw) {
			g.request = func(r *http.Request) { r.Body, r.ContentLength = readCloser(text), int64(len(text)) }
		}
	}
	return []verdict{
		{"a plain grant", grantClaims, nothing, "ok", ""},
		{"GET", tokenEndpoint, method(http.MethodGet), "invalid_request", ""},
		{"PUT", tokenEndpoint, method(http.MethodPut), "invalid_request", ""},
		{"a form with charset", tokenEndpoint, httpHeader("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"), "ok", ""},
		{"a form in capitals", tokenEndpoint, httpHeader("Content-Type", "Application/X-WWW-Form-Urlencoded"), "ok", ""},
		{"JSON", tokenEndpoint, httpHeader("Content-Type", "application/json"), "invalid_request", ""},
		{"text", tokenEndpoint, httpHeader("Content-Type", "text/plain"), "invalid_request", ""},
		{"no content type", tokenEndpoint, httpHeader("Content-Type", ""), "invalid_request", ""},
		{"any Accept", tokenEndpoint, httpHeader("Accept", "text/html"), "ok", ""},
		{"no form", tokenEndpoint, body("%zz"), "invalid_request", ""},
		{"an empty body", tokenEndpoint, body(""), "invalid_request", ""},
		{"parameters in the URL", tokenEndpoint, func(g *raw) {
			g.request = func(r *http.Request) { r.URL.RawQuery = "grant_type=x&assertion=y"; r.Body = http.NoBody }
		}, "invalid_request", ""},
		{"a query beside the form", undecided, func(g *raw) { g.request = func(r *http.Request) { r.URL.RawQuery = "a=b" } }, "invalid_request", ""},
		{"no grant_type", rfc6749, parameter("grant_type"), "invalid_request", ""},
		{"an empty grant_type", rfc6749, parameter("grant_type", ""), "unsupported_grant_type", ""},
		{"client_credentials", rfc6749, parameter("grant_type", "client_credentials"), "unsupported_grant_type", ""},
		{"authorization_code", rfc6749, parameter("grant_type", "authorization_code"), "unsupported_grant_type", ""},
		{"token exchange", rfc6749, parameter("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"), "unsupported_grant_type", ""},
		{"a grant_type with a blank", rfc6749, parameter("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer "), "unsupported_grant_type", ""},
		{"a repeated grant_type", rfc6749, parameter("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "x"), "invalid_request", ""},
		{"no assertion", rfc6749, parameter("assertion"), "invalid_request", ""},
		{"an empty assertion", rfc6749, parameter("assertion", ""), "invalid_request", ""},
		{"a repeated assertion", rfc6749, parameter("assertion", "x", "y"), "invalid_request", ""},
		{"client_id beside it", undecided, parameter("client_id", "x"), "invalid_request", "ok"},
		{"scope beside it", undecided, parameter("scope", "bank:saldo"), "invalid_request", "ok"},
		{"resource beside it", undecided, parameter("resource", "https://a.example"), "invalid_request", "ok"},
		{"client_assertion beside it", undecided, parameter("client_assertion", "x"), "invalid_request", "ok"},
		{"consumer_org beside it", grantConsumer, parameter("consumer_org", otherOrg), "invalid_request", "ok"},
		{"consumer_org as a header", grantConsumer, httpHeader("consumer_org", otherOrg), "invalid_request", "ok"},
		{"Basic authentication", tokenEndpoint, httpHeader("Authorization", "Basic eDp5"), "invalid_request", ""},
		{"a bearer token", tokenEndpoint, httpHeader("Authorization", "Bearer x"), "invalid_request", ""},
	}
}

func shapeVerdicts() []verdict {
	parts := func(change func([]string) []string) func(*raw) {
		return compact(func(s string) string { return strings.Join(change(strings.Split(s, ".")), ".") })
	}
	cut := func(n int) func(*raw) { return compact(func(s string) string { return s[:len(s)-n] }) }
	claims := func(text string) func(*raw) { return func(g *raw) { g.claimsJSON = text } }
	headers := func(text string) func(*raw) { return func(g *raw) { g.headerJSON = text } }
	suffix := func(text string) func(*raw) { return compact(func(s string) string { return s + text }) }
	return []verdict{
		{"one part", rfc7515, parts(func(p []string) []string { return p[:1] }), "invalid_grant", ""},
		{"two parts", rfc7515, parts(func(p []string) []string { return p[:2] }), "invalid_grant", ""},
		{"four parts", rfc7515, suffix(".x"), "invalid_grant", ""},
		{"five parts, as a JWE", rfc7515, suffix(".x.y"), "invalid_grant", ""},
		{"dots alone", rfc7515, compact(func(string) string { return ".." }), "invalid_grant", ""},
		{"words", rfc7515, compact(func(string) string { return "not a JWT" }), "invalid_grant", ""},
		{"padding", rfc7515, suffix("="), "invalid_grant", ""},
		{"a line break at the end", rfc7515, suffix("\n"), "invalid_grant", ""},
		{"a line break inside", rfc7515, compact(func(s string) string { return s[:40] + "\r\n" + s[40:] }), "invalid_grant", ""},
		{"blanks around it", rfc7515, compact(func(s string) string { return " " + s + " " }), "invalid_grant", ""},
		{"base64 for base64url", rfc7515, compact(func(s string) string { return s[:len(s)-2] + "+/" }), "invalid_grant", ""},
		{"JSON serialisation", rfc7515, compact(func(s string) string { return `{"payload":"` + s + `"}` }), "invalid_grant", ""},
		{"a signature short by one", errorsPage, cut(1), "MP-124", ""},
		{"a signature short by two", errorsPage, cut(2), "MP-124", ""},
		{"a signature short by three", errorsPage, cut(3), "MP-124", ""},
		{"a signature short by four", errorsPage, cut(4), "MP-124", ""},
		{"half a signature", errorsPage, cut(170), "MP-124", ""},
		{"no signature", errorsPage, parts(func(p []string) []string { return []string{p[0], p[1], ""} }), "MP-124", ""},
		{"a signature too long", errorsPage, suffix("AAAA"), "MP-124", ""},
		{"a signature of another key", errorsPage, func(g *raw) { g.key = otherKey() }, "MP-124", ""},
		{"another's signature", errorsPage, parts(func(p []string) []string {
			return []string{p[0], p[1], base64.RawURLEncoding.EncodeToString(make([]byte, 256))}
		}), "MP-124", ""},
		{"claims changed afterwards", errorsPage, func(g *raw) { tampered(nil, g) }, "MP-124", ""},
		{"a header no JSON", rfc7515, headers(`{"alg":`), "invalid_grant", ""},
		{"a header an array", rfc7515, headers(`["RS256"]`), "invalid_grant", ""},
		{"a header null", rfc7515, headers(`null`), "invalid_grant", ""},
		{"a header with alg twice", rfc7519, headers(`{"alg":"RS256","alg":"none"}`), "invalid_grant", ""},
		{"a header with kid twice", rfc7519, headers(`{"alg":"RS256","kid":"a","kid":"b"}`), "invalid_grant", ""},
		{"claims no JSON", rfc7519, claims(`{"aud":`), "invalid_grant", ""},
		{"claims an array", rfc7519, claims(`["aud"]`), "invalid_grant", ""},
		{"claims a string", rfc7519, claims(`"aud"`), "invalid_grant", ""},
		{"claims null", rfc7519, claims(`null`), "invalid_grant", ""},
		{"claims and more", rfc7519, claims(`{}{}`), "invalid_grant", ""},
		{"claims with a byte order mark", rfc7519, claims("\ufeff{}"), "invalid_grant", ""},
		{"claims empty", grantClaims, claims(`{}`), "invalid_grant", ""},
		{"aud twice", rfc7519, claims(`{"aud":"a","aud":"b"}`), "invalid_grant", ""},
		{"aud twice, once escaped", rfc7519, claims(`{"aud":"a","\u0061ud":"b"}`), "invalid_grant", ""},
		{"scope twice", rfc7519, claims(`{"scope":"a","scope":"a"}`), "invalid_grant", ""},
		{"a name twice in a detail", rfc7519, claims(`{"authorization_details":[{"type":"a","type":"b"}]}`), "invalid_grant", ""},
		{"very deep claims", undecided, claims(`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`), "invalid_grant", ""},
	}
}
