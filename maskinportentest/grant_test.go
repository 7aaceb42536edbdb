package maskinportentest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

type (
	fake = maskinportentest.Fake
	list = []any
	dict = map[string]any
)

func systemUserOf(org string) dict {
	return dict{"type": "urn:altinn:systemuser", "systemuser_org": dict{"authority": "iso6523-actorid-upis", "ID": "0192:" + org}}
}

func consentOf(from string) dict {
	return dict{"type": "urn:altinn:consent", "id": "77ed8698-e619-4066-9eb4-5c1eb3f165a1", "from": from}
}

func with(m dict, name string, value any) dict {
	m[name] = value
	return m
}

// claim makes a case that sets one claim.
func claim(name string, value any) func(*fake, *raw) {
	return func(_ *fake, g *raw) { g.claims[name] = value }
}

func without(names ...string) func(*fake, *raw) {
	return func(_ *fake, g *raw) {
		for _, n := range names {
			delete(g.claims, n)
		}
	}
}

func details(v ...any) func(*fake, *raw) { return claim("authorization_details", list(v)) }

func issued(iat, exp time.Duration) func(*fake, *raw) {
	return func(_ *fake, g *raw) {
		now := time.Now()
		g.claims["iat"], g.claims["exp"] = now.Add(iat).Unix(), now.Add(exp).Unix()
	}
}

func certificate(c maskinportentest.Certificate) func(*fake, *raw) {
	return func(_ *fake, g *raw) { g.certify(c) }
}

func chain(change func(x5c []string) any) func(*fake, *raw) {
	return func(_ *fake, g *raw) { g.header["x5c"] = change(g.x5c()) }
}

func TestGrantAccepted(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		make         func(*fake, *raw)
	}{
		{"plain", "the grant that every refused one differs from in one thing", func(*fake, *raw) {}},
		{"RS384", "one of three algorithms", func(_ *fake, g *raw) { g.header["alg"] = "RS384" }},
		{"RS512", "one of three algorithms", func(_ *fake, g *raw) { g.header["alg"] = "RS512" }},
		{"no typ", "typ says nothing here", func(_ *fake, g *raw) { delete(g.header, "typ") }},
		{"no jti", "jti is recommended, not required", without("jti")},
		{"without root", "who verifies has the root", chain(func(c []string) any { return c[:2] })},
		{"SEID 1", "the number in serialNumber, as until 2025", certificate(maskinportentest.Certificate{SEID1: true})},
		{"9 s ahead", "ten seconds are tolerated", issued(9*time.Second, 100*time.Second)},
		{"9 s behind", "ten seconds are tolerated", issued(-9*time.Second, 100*time.Second)},
		{"short", "120 seconds are the most, not the least", issued(0, 5*time.Second)},
		{"several scopes", "scopes are separated by spaces", claim("scope", "bank:saldo bank:lan")},
		{"consumer", "a supplier for its customer", claim("consumer_org", otherOrg)},
		{"on behalf of", "deprecated, but taken", claim("iss_onbehalfof", otherOrg)},
		{"resource", "an array", claim("resource", list{"https://api.bank.example"})},
		{"person", "eleven digits", claim("pid", "25922947409")},
		{"systembruker", "without an external reference", details(systemUserOf(otherOrg))},
		{"external reference", "Norwegian letters too", details(with(systemUserOf(otherOrg), "externalRef", strings.Repeat("ø", 250)+"A_-9å"))},
		{"consent", "of a person", details(consentOf("urn:altinn:person:identifier-no:25922947409"))},
		{"consent", "of an organisation", details(consentOf("urn:altinn:organization:identifier-no:" + otherOrg))},
		{"kid", "a key registered on the client", func(f *fake, g *raw) {
			f.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k1", Public: &testKey().PublicKey})
			g.useKey("k1")
		}},
		{"expired key, replaced", "another key under the same kid", func(f *fake, g *raw) {
			f.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k1", Expires: time.Now()})
			f.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k1", Public: &testKey().PublicKey})
			g.useKey("k1")
		}},
	} {
		t.Run(tt.name+"/"+tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			g := newRaw(fake.Environment())
			tt.make(fake, g)
			s := post(t, fake, g.sign(t))
			require.Equal(t, http.StatusOK, s.Status, s.Description)
			require.NotEmpty(t, s.AccessToken)
			require.Equal(t, "Bearer", s.TokenType)
			require.Equal(t, 120, s.ExpiresIn)
			require.Equal(t, g.claims["scope"], s.Scope)
			require.True(t, fake.LastGrant().Accepted())
		})
	}
}

func TestGrantRefused(t *testing.T) {
	smallKey, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	for _, tt := range []struct {
		name, reason string
		make         func(*fake, *raw)
		mp, code     string
		says         string
	}{
		// The shape of the JWT.
		{"two parts", "not a JWT", func(_ *fake, g *raw) { g.compact = func(s string) string { return s[:strings.LastIndex(s, ".")] } }, "", "invalid_grant", "three parts"},
		{"padding", "base64url in a JWT has none", func(_ *fake, g *raw) { g.compact = func(s string) string { return s + "=" } }, "", "invalid_grant", "base64url"},
		{"line break", "a stray line break in the assertion", func(_ *fake, g *raw) { g.compact = func(s string) string { return s + "\n" } }, "", "invalid_grant", "base64url"},
		{"claims no object", "claims are an object", func(_ *fake, g *raw) { g.claimsJSON = `["aud"]` }, "", "invalid_grant", "not an object"},
		{"claims no JSON", "claims are JSON", func(_ *fake, g *raw) { g.claimsJSON = `{"aud":` }, "", "invalid_grant", "not valid"},
		{"claims and more", "one object and nothing after it", func(_ *fake, g *raw) { g.claimsJSON = `{}{}` }, "", "invalid_grant", "after its end"},
		{"claim twice", "two readers could see two audiences", func(f *fake, g *raw) { g.claimsJSON = `{"aud":"a","aud":"` + f.Environment().Issuer + `"}` }, "", "invalid_grant", `"aud" twice`},
		{"nested claim twice", "at any depth", func(_ *fake, g *raw) { g.claimsJSON = `{"authorization_details":[{"type":"a","type":"b"}]}` }, "", "invalid_grant", `"type" twice`},
		{"header twice", "the header too", func(_ *fake, g *raw) { g.headerJSON = `{"alg":"RS256","alg":"none"}` }, "", "invalid_grant", `"alg" twice`},

		// Undocumented claims.
		{"nbf", "not documented", claim("nbf", time.Now().Unix()), "", "invalid_grant", "Unknown claim nbf"},
		{"sub", "not documented", claim("sub", "someone"), "", "invalid_grant", "Unknown claim sub"},
		{"consumer-org", "misspelt, it would silently not be delegated", claim("consumer-org", otherOrg), "", "invalid_grant", "Unknown claim consumer-org"},

		// Who it is.
		{"no iss", "required", without("iss"), "", "invalid_grant", "iss"},
		{"iss with line break", "from a configuration file", claim("iss", maskinportentest.DefaultClientID+"\n"), "MP-011", "invalid_request", ""},
		{"unknown client", "of another environment, or misspelt", claim("iss", "no-such-client"), "MP-100", "invalid_grant", ""},
		{"removed client", "deleted in Samarbeidsportalen", func(f *fake, _ *raw) { f.RemoveClient(maskinportentest.DefaultClientID) }, "MP-100", "invalid_grant", ""},

		// The header.
		{"none", "unsigned", func(_ *fake, g *raw) { g.header["alg"] = "none" }, "", "invalid_grant", "alg"},
		{"HS256", "with the public key as secret", func(_ *fake, g *raw) { g.header["alg"] = "HS256" }, "", "invalid_grant", "alg"},
		{"PS256", "Maskinporten takes no PSS", func(_ *fake, g *raw) { g.header["alg"] = "PS256" }, "", "invalid_grant", "alg"},
		{"ES256", "Maskinporten takes no EC", func(_ *fake, g *raw) { g.header["alg"] = "ES256" }, "", "invalid_grant", "alg"},
		{"no alg", "required", func(_ *fake, g *raw) { delete(g.header, "alg") }, "", "invalid_grant", "alg"},
		{"typ", "a JWT", func(_ *fake, g *raw) { g.header["typ"] = "JWE" }, "", "invalid_grant", "typ"},
		{"crit", "an extension nobody knows", func(_ *fake, g *raw) { g.header["crit"] = list{"b64"} }, "", "invalid_grant", "Unknown header crit"},
		{"both", "x5c and kid", func(_ *fake, g *raw) { g.header["kid"] = "k1" }, "", "invalid_grant", "exactly one"},
		{"neither", "no x5c and no kid", func(_ *fake, g *raw) { delete(g.header, "x5c") }, "", "invalid_grant", "exactly one"},

		// A registered key.
		{"kid a number", "a string", func(_ *fake, g *raw) { g.useKey(""); g.header["kid"] = 1 }, "", "invalid_grant", "kid"},
		{"unknown kid", "not registered on the client", func(_ *fake, g *raw) { g.useKey("k1") }, "", "invalid_grant", "Unknown key identifier (kid) for client"},
		{"x5c with registered keys", "the client must name one of them", func(f *fake, _ *raw) {
			f.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k1"})
		}, "", "invalid_grant", "requires pre-registered jwk and no key identifier (kid) provided"},
		{"another client's kid", "registered, but not here", func(f *fake, g *raw) {
			f.AddClient(maskinportentest.Integration{ID: "other", Keys: []maskinportentest.Key{{ID: "k1", Public: &testKey().PublicKey}}})
			g.useKey("k1")
		}, "", "invalid_grant", "Unknown key identifier (kid) for client"},
		{"expired key", "keys live one year", func(f *fake, g *raw) {
			f.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k1", Public: &testKey().PublicKey})
			f.SetClock(366 * 24 * time.Hour)
			g.useKey("k1")
		}, "MP-121", "invalid_grant", "Expired key"},
		{"another key", "the kid is registered with another key", func(f *fake, g *raw) {
			f.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k1", Public: &otherKey().PublicKey})
			g.useKey("k1")
		}, "MP-124", "invalid_grant", "signature"},

		// A certificate.
		{"x5c a string", "must be an array", chain(func(c []string) any { return c[0] }), "MP-123", "invalid_grant", ""},
		{"x5c empty", "must hold the leaf", chain(func([]string) any { return list{} }), "MP-123", "invalid_grant", ""},
		{"x5c of numbers", "must be strings", chain(func([]string) any { return list{1} }), "MP-123", "invalid_grant", ""},
		{"x5c in base64url", "x5c is plain base64", chain(func([]string) any { return list{"_-__"} }), "MP-123", "invalid_grant", ""},
		{"x5c no certificate", "must be DER", chain(func([]string) any { return list{"AAAA"} }), "MP-123", "invalid_grant", ""},
		{"x5c in PEM", "must be DER", chain(func(c []string) any { return list{"-----BEGIN CERTIFICATE-----\n" + c[0]} }), "MP-123", "invalid_grant", ""},
		{"leaf only", "the full chain", chain(func(c []string) any { return c[:1] }), "MP-120", "invalid_grant", "full chain"},
		{"root first", "leaf first", chain(func(c []string) any { return []string{c[2], c[1], c[0]} }), "MP-120", "invalid_grant", ""},
		{"unordered", "each signed by the next", chain(func(c []string) any { return []string{c[0], c[2], c[1]} }), "MP-120", "invalid_grant", ""},
		{"one too many", "nothing else", chain(func(c []string) any { return []string{c[0], c[0], c[1], c[2]} }), "MP-120", "invalid_grant", ""},
		{"production certificate", "in test", certificate(maskinportentest.Certificate{Production: true}), "MP-120", "invalid_grant", ""},
		{"self-signed", "by nobody's CA", selfSigned, "MP-120", "invalid_grant", ""},
		{"for signing documents", "its Key Usage lacks Digital Signature", certificate(maskinportentest.Certificate{KeyUsage: x509.KeyUsageContentCommitment}), "MP-120", "invalid_grant", "Key Usage"},
		{"for encryption", "its Key Usage lacks Digital Signature", certificate(maskinportentest.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment}), "MP-120", "invalid_grant", "Key Usage"},
		{"1024 bits", "2048 at least", func(_ *fake, g *raw) { g.key = smallKey; g.certify(maskinportentest.Certificate{}) }, "MP-120", "invalid_grant", "2048"},
		{"expired certificate", "three years have passed", certificate(maskinportentest.Certificate{NotBefore: time.Now().AddDate(-4, 0, 0)}), "MP-124", "invalid_grant", "expired"},
		{"certificate of tomorrow", "not valid yet", certificate(maskinportentest.Certificate{NotBefore: time.Now().AddDate(0, 0, 1)}), "MP-124", "invalid_grant", "not valid yet"},
		{"another's certificate", "not of the client's owner", certificate(maskinportentest.Certificate{OrgNumber: otherOrg}), "MP-122", "invalid_grant", otherOrg},
		{"signature cut", "it lost its end, at a length that is no base64", func(_ *fake, g *raw) { g.compact = func(s string) string { return s[:len(s)-1] } }, "MP-124", "invalid_grant", "signature"},
		{"signature cut short", "it lost its end", func(_ *fake, g *raw) { g.compact = func(s string) string { return s[:len(s)-5] } }, "MP-124", "invalid_grant", "signature"},
		{"signature gone", "nothing after the last dot", func(_ *fake, g *raw) {
			g.compact = func(s string) string { return s[:strings.LastIndex(s, ".")+1] }
		}, "MP-124", "invalid_grant", "signature"},
		{"access withdrawn", "the API's owner had granted it", func(f *fake, _ *raw) {
			f.GrantAccess("bank:saldo", maskinportentest.DefaultOrgNumber)
			f.WithdrawAccess("bank:saldo", maskinportentest.DefaultOrgNumber)
		}, "MP-250", "forbidden", maskinportentest.DefaultOrgNumber},
		{"access withdrawn, never granted", "where everybody had it", func(f *fake, _ *raw) {
			f.WithdrawAccess("bank:saldo", maskinportentest.DefaultOrgNumber)
		}, "MP-250", "forbidden", maskinportentest.DefaultOrgNumber},
		{"systembruker removed", "there had been one", func(f *fake, g *raw) {
			f.AddSystemUser(maskinportentest.SystemUser{OrgNumber: otherOrg})
			f.RemoveSystemUser(maskinportentest.SystemUser{OrgNumber: otherOrg})
			details(systemUserOf(otherOrg))(f, g)
		}, "MP-303", "invalid_altinn_customer_configuration", ""},
		{"consent withdrawn", "it had been given", func(f *fake, g *raw) {
			c := consentOf("urn:altinn:person:identifier-no:25922947409")
			f.AddConsent(resourceserver.ConsentClaim{ID: c["id"].(string), From: c["from"].(string), To: maskinportentest.DefaultOrgNumber, ValidTo: time.Now().Add(time.Hour)})
			f.RemoveConsent(strings.ToUpper(c["id"].(string)))
			details(c)(f, g)
		}, "MP-303", "invalid_authorization_details", "No valid consent"},
		{"two unknown fields", "the first by the alphabet is named", details(with(with(systemUserOf(otherOrg), "zz", "x"), "aa", "x")), "MP-302", "invalid_authorization_details", "Field aa"},
		{"key not the certificate's", "signed with another key", func(_ *fake, g *raw) { g.key = otherKey() }, "MP-124", "invalid_grant", "signature"},
		{"claims changed", "after they were signed", tampered, "MP-124", "invalid_grant", "signature"},

		// This issuer, this moment, one use.
		{"no aud", "required", without("aud"), "MP-110", "invalid_grant", "aud"},
		{"another aud", "production's in test", claim("aud", "https://maskinporten.no/"), "MP-110", "invalid_grant", "aud"},
		{"aud without slash", "the issuer to the letter", claim("aud", "https://test.maskinporten.no"), "MP-110", "invalid_grant", "aud"},
		{"the endpoint as aud", "no longer valid", claim("aud", "https://test.maskinporten.no/token"), "MP-110", "invalid_grant", "aud"},
		{"aud an array", "one string", claim("aud", list{"https://test.maskinporten.no/"}), "MP-110", "invalid_grant", "one string"},
		{"no iat", "required", without("iat"), "", "invalid_grant", "iat"},
		{"no exp", "required", without("exp"), "", "invalid_grant", "exp"},
		{"iat a string", "seconds, as a number", claim("iat", "1700000000"), "", "invalid_grant", "iat"},
		{"iat with a fraction", "whole seconds", claim("iat", float64(time.Now().Unix())+0.5), "", "invalid_grant", "iat"},
		{"12 s ahead", "the clock is ahead", issued(12*time.Second, 100*time.Second), "", "invalid_grant", "Issue time is after now"},
		{"12 s behind", "sent too late, or the clock is behind", issued(-12*time.Second, 100*time.Second), "MP-130", "invalid_grant", ""},
		{"a clock ahead", "the fake's own clock is wrong", func(f *fake, _ *raw) { f.SetClock(30 * time.Second) }, "MP-130", "invalid_grant", ""},
		{"a clock behind", "the fake's own clock is wrong", func(f *fake, _ *raw) { f.SetClock(-30 * time.Second) }, "", "invalid_grant", "Issue time is after now"},
		{"expired", "exp has passed", issued(-8*time.Second, -time.Second), "MP-130", "invalid_grant", ""},
		{"121 seconds", "120 are the most", issued(0, 121*time.Second), "", "invalid_grant", "120 seconds"},
		{"jti a number", "a string", claim("jti", 1), "", "invalid_grant", "jti"},
		{"jti empty", "if there at all, it is one", claim("jti", ""), "", "invalid_grant", "jti"},

		// What it asks for.
		{"no scope", "required", without("scope"), "MP-011", "invalid_request", "scope"},
		{"scope an array", "a string", claim("scope", list{"bank:saldo"}), "MP-011", "invalid_request", "scope"},
		{"scope with line break", "from a configuration file", claim("scope", "bank:saldo\n"), "MP-011", "invalid_request", "scope"},
		{"scopes with comma and space", "two spaces", claim("scope", "bank:saldo  bank:lan"), "MP-011", "invalid_request", "scope"},
		{"consumer of eight digits", "nine", claim("consumer_org", "31336700"), "MP-011", "invalid_request", "consumer_org"},
		{"consumer a number", "a string", claim("consumer_org", 313367002), "MP-011", "invalid_request", "consumer_org"},
		{"consumer in ISO form", "digits only", claim("consumer_org", "0192:"+otherOrg), "MP-011", "invalid_request", "consumer_org"},
		{"consumer not an organisation", "modulus 11", claim("consumer_org", "123456789"), "MP-011", "invalid_request", "consumer_org"},
		{"consumer is the client's own", "leave it out", claim("consumer_org", maskinportentest.DefaultOrgNumber), "MP-011", "invalid_request", "own organisation"},
		{"both delegations", "cannot stand together", func(_ *fake, g *raw) { g.claims["consumer_org"], g.claims["iss_onbehalfof"] = otherOrg, otherOrg }, "MP-011", "invalid_request", "together"},
		{"on behalf of nobody", "not registered on the client", claim("iss_onbehalfof", "nobody"), "MP-011", "invalid_request", "iss_onbehalfof"},
		{"resource a string", "only an array", claim("resource", "https://api.bank.example"), "MP-011", "invalid_request", "resource"},
		{"resource empty", "at least one", claim("resource", list{}), "MP-011", "invalid_request", "resource"},
		{"resource relative", "absolute", claim("resource", list{"/api"}), "MP-011", "invalid_request", "resource"},
		{"pid of ten digits", "eleven", claim("pid", "2592294740"), "MP-011", "invalid_request", "pid"},
		{"pid a number", "a string", claim("pid", int64(25922947409)), "MP-011", "invalid_request", "pid"},

		// authorization_details.
		{"details an object", "an array", claim("authorization_details", systemUserOf(otherOrg)), "MP-303", "invalid_authorization_details", ""},
		{"two parties", "one a request", details(systemUserOf(otherOrg), systemUserOf(thirdOrg)), "MP-303", "invalid_authorization_details", "one party"},
		{"unknown type", "neither systembruker nor consent", details(dict{"type": "urn:altinn:resource"}), "MP-301", "invalid_authorization_details", ""},
		{"unknown field", "misspelt", details(with(systemUserOf(otherOrg), "external_ref", "x")), "MP-302", "invalid_authorization_details", "external_ref"},
		{"unknown field in the owner", "misspelt", details(with(systemUserOf(otherOrg), "systemuser_org", dict{"authority": "iso6523-actorid-upis", "ID": "0192:" + otherOrg, "id": "x"})), "MP-302", "invalid_authorization_details", "Field id"},
		{"no owner", "required", details(dict{"type": "urn:altinn:systemuser"}), "MP-303", "invalid_authorization_details", "systemuser_org"},
		{"another authority", "ISO 6523 only", details(with(systemUserOf(otherOrg), "systemuser_org", dict{"authority": "brreg", "ID": "0192:" + otherOrg})), "MP-303", "invalid_authorization_details", "authority"},
		{"bare owner", "0192: in front", details(with(systemUserOf(otherOrg), "systemuser_org", dict{"authority": "iso6523-actorid-upis", "ID": otherOrg})), "MP-303", "invalid_authorization_details", "0192:"},
		{"owner not an organisation", "modulus 11", details(systemUserOf("987654321")), "MP-303", "invalid_authorization_details", "0192:"},
		{"reference with a space", "letters, digits, _ and -", details(with(systemUserOf(otherOrg), "externalRef", "a b")), "MP-303", "invalid_authorization_details", "externalRef"},
		{"reference of 256", "255 at most", details(with(systemUserOf(otherOrg), "externalRef", strings.Repeat("a", 256))), "MP-303", "invalid_authorization_details", "externalRef"},
		{"no such systembruker", "none in Altinn for this organisation", func(f *fake, g *raw) {
			f.AddSystemUser(maskinportentest.SystemUser{OrgNumber: thirdOrg})
			details(systemUserOf(otherOrg))(f, g)
		}, "MP-303", "invalid_altinn_customer_configuration", ""},
		{"another client's systembruker", "it is for one client", func(f *fake, g *raw) {
			f.AddSystemUser(maskinportentest.SystemUser{OrgNumber: otherOrg, ClientID: "other"})
			details(systemUserOf(otherOrg))(f, g)
		}, "MP-303", "invalid_altinn_customer_configuration", ""},
		{"consent id", "a UUID", details(with(consentOf("urn:altinn:person:identifier-no:25922947409"), "id", "1234")), "MP-303", "invalid_authorization_details", "UUID"},
		{"consent from a bare pid", "a URN", details(consentOf("25922947409")), "MP-303", "invalid_authorization_details", "from"},
		{"consent from a false organisation", "modulus 11", details(consentOf("urn:altinn:organization:identifier-no:123456789")), "MP-303", "invalid_authorization_details", "from"},
		{"consent with a to", "not in the grant", details(with(consentOf("urn:altinn:person:identifier-no:25922947409"), "to", "x")), "MP-302", "invalid_authorization_details", "Field to"},
		{"consent not given", "only another is", func(f *fake, g *raw) {
			f.AddConsent(resourceserver.ConsentClaim{ID: "93413201-b7e8-4ec3-a899-580fc02c6aeb"})
			details(consentOf("urn:altinn:person:identifier-no:25922947409"))(f, g)
		}, "MP-303", "invalid_authorization_details", "No valid consent"},
		{"consent over", "its ValidTo has passed", func(f *fake, g *raw) {
			c := consentOf("urn:altinn:person:identifier-no:25922947409")
			f.AddConsent(resourceserver.ConsentClaim{ID: c["id"].(string), From: c["from"].(string), To: maskinportentest.DefaultOrgNumber, ValidTo: time.Now()})
			details(c)(f, g)
		}, "MP-303", "invalid_authorization_details", "No valid consent"},

		// Whether it may.
		{"scope not registered", "on the client", func(f *fake, _ *raw) {
			f.AddClient(maskinportentest.Integration{ID: maskinportentest.DefaultClientID, Scopes: []string{"bank:lan"}})
		}, "MP-200", "invalid_scope", "bank:saldo"},
		{"integration type", "not Maskinporten's", func(f *fake, _ *raw) {
			f.AddClient(maskinportentest.Integration{ID: maskinportentest.DefaultClientID, IntegrationType: "idporten"})
		}, "MP-201", "invalid_scope", "idporten"},
		{"no access", "the API's owner has not granted it", func(f *fake, _ *raw) { f.GrantAccess("bank:saldo", otherOrg) }, "MP-250", "forbidden", maskinportentest.DefaultOrgNumber},
		{"consumer without access", "the API's owner has not granted it", func(f *fake, g *raw) {
			f.GrantAccess("bank:saldo", maskinportentest.DefaultOrgNumber)
			g.claims["consumer_org"] = otherOrg
		}, "MP-250", "forbidden", otherOrg},
		{"not delegated", "others have", func(f *fake, g *raw) {
			f.Delegate("bank:saldo", thirdOrg, maskinportentest.DefaultOrgNumber)
			g.claims["consumer_org"] = otherOrg
		}, "MP-251", "forbidden", otherOrg},
		{"delegated to another", "not to this supplier", func(f *fake, g *raw) {
			f.Delegate("bank:saldo", otherOrg, thirdOrg)
			g.claims["consumer_org"] = otherOrg
		}, "MP-251", "forbidden", otherOrg},
		{"another scope delegated", "each by itself", func(f *fake, g *raw) {
			f.Delegate("bank:saldo", otherOrg, maskinportentest.DefaultOrgNumber)
			g.claims["consumer_org"], g.claims["scope"] = otherOrg, "bank:saldo bank:lan"
		}, "MP-251", "forbidden", "bank:lan"},
		{"delegation taken back", "it had been delegated", func(f *fake, g *raw) {
			f.Delegate("bank:saldo", otherOrg, maskinportentest.DefaultOrgNumber)
			f.Undelegate("bank:saldo", otherOrg, maskinportentest.DefaultOrgNumber)
			g.claims["consumer_org"] = otherOrg
		}, "MP-251", "forbidden", otherOrg},
	} {
		t.Run(tt.name+"/"+tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			g := newRaw(fake.Environment())
			tt.make(fake, g)
			s := post(t, fake, g.sign(t))
			require.Equal(t, http.StatusBadRequest, s.Status)
			require.Equal(t, tt.mp, s.mp(), s.Description)
			require.Equal(t, tt.code, s.Error)
			require.Contains(t, s.Description, tt.says)
			require.Regexp(t, `\(trace_id: [0-9a-f]{32}\)$`, s.Description)
			if tt.mp != "" {
				require.Equal(t, "https://test.maskinporten.no/errors/"+tt.mp, s.URI)
			}
			last := fake.LastGrant()
			require.False(t, last.Accepted())
			require.Equal(t, tt.mp, last.MPCode)
			require.Equal(t, tt.code, last.Code)
			require.Contains(t, s.Description, "(trace_id: "+last.TraceID+")")
			require.Contains(t, last.Answer, s.Description[:10])
			require.Empty(t, s.AccessToken)
		})
	}
}

func selfSigned(_ *fake, g *raw) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &testKey().PublicKey, key)
	if err != nil {
		panic(err)
	}
	g.header["x5c"] = []string{base64.StdEncoding.EncodeToString(der)}
}

// tampered has the scope changed after the grant was signed.
func tampered(_ *fake, g *raw) {
	g.compact = func(s string) string {
		parts := strings.Split(s, ".")
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			panic(err)
		}
		parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), "bank:saldo", "bank:SALDO", 1)))
		return strings.Join(parts, ".")
	}
}

func TestGrantUsedOnce(t *testing.T) {
	fake := maskinportentest.New()
	g := newRaw(fake.Environment())
	assertion := g.sign(t)
	require.Equal(t, http.StatusOK, post(t, fake, assertion).Status)
	require.Equal(t, "MP-012", post(t, fake, assertion).mp(), "the same grant")

	require.Equal(t, "MP-012", post(t, fake, g.sign(t)).mp(), "signed anew, with the same jti")

	delete(g.claims, "jti")
	assertion = g.sign(t)
	require.Equal(t, http.StatusOK, post(t, fake, assertion).Status)
	require.Equal(t, "MP-012", post(t, fake, assertion).mp(), "the same grant, without a jti")

	g.claims["jti"], g.claims["scope"] = rand.Text(), "bank:lan"
	fake.AddClient(maskinportentest.Integration{ID: maskinportentest.DefaultClientID, Scopes: []string{"bank:saldo"}})
	require.Equal(t, "MP-200", post(t, fake, g.sign(t)).mp())
	require.Equal(t, "MP-012", post(t, fake, g.sign(t)).mp(), "a refused grant is used, too")
}

// Production takes production certificates, and no others.
func TestProduction(t *testing.T) {
	fake := maskinportentest.NewFor(maskinporten.Prod)
	g := newRaw(fake.Environment())
	require.Equal(t, "MP-120", post(t, fake, g.sign(t)).mp())

	g.certify(maskinportentest.Certificate{Production: true})
	g.claims["jti"], g.claims["consumer_org"] = rand.Text(), otherOrg
	s := post(t, fake, g.sign(t))
	require.Equal(t, http.StatusOK, s.Status, s.Description)
	require.Equal(t, "https://www.altinn.no", claimsOf(t, s.AccessToken)["delegation_source"])
}
