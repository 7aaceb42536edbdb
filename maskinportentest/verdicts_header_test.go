package maskinportentest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

var smallKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		panic(err)
	}
	return key
})

func headerVerdicts() []verdict {
	alg := func(v any) func(*raw) { return header("alg", v) }
	none := func(name string) func(*raw) { return func(g *raw) { delete(g.header, name) } }
	return []verdict{
		{"RS384", grantHeader, alg("RS384"), "ok", ""},
		{"RS512", grantHeader, alg("RS512"), "ok", ""},
		{"alg none", grantHeader, alg("none"), "invalid_grant", ""},
		{"alg None", grantHeader, alg("None"), "invalid_grant", ""},
		{"HS256", grantHeader, alg("HS256"), "invalid_grant", ""},
		{"ES256", grantHeader, alg("ES256"), "invalid_grant", ""},
		{"PS256", grantHeader, alg("PS256"), "invalid_grant", ""},
		{"EdDSA", grantHeader, alg("EdDSA"), "invalid_grant", ""},
		{"RS1", grantHeader, alg("RS1"), "invalid_grant", ""},
		{"rs256 in small letters", grantHeader, alg("rs256"), "invalid_grant", ""},
		{"alg a number", grantHeader, alg(256), "invalid_grant", ""},
		{"alg an array", grantHeader, alg(list{"RS256"}), "invalid_grant", ""},
		{"no alg", grantHeader, none("alg"), "invalid_grant", ""},
		{"alg of another hash than signed", errorsPage, func(g *raw) {
			g.headerJSON = `{"alg":"RS512","kid":"k1"}` // signed as RS256
			g.claims["iss"] = "keys"
		}, "MP-124", ""},
		{"no typ", grantHeader, none("typ"), "ok", ""},
		{"typ in small letters", undecided, header("typ", "jwt"), "invalid_grant", "ok"},
		{"typ JWE", undecided, header("typ", "JWE"), "invalid_grant", "ok"},
		{"typ of an access token", undecided, header("typ", "at+jwt"), "invalid_grant", "ok"},
		{"cty", undecided, header("cty", "JWT"), "invalid_grant", "ok"},
		{"crit", rfc7515, header("crit", list{"b64"}), "invalid_grant", ""},
		{"crit, empty", rfc7515, header("crit", list{}), "invalid_grant", ""},
		{"x5t", undecided, header("x5t", "x"), "invalid_grant", "ok"},
		{"x5t#S256", undecided, header("x5t#S256", "x"), "invalid_grant", "ok"},
		{"x5u", undecided, header("x5u", "https://a.example"), "invalid_grant", "ok"},
		{"jku", undecided, header("jku", "https://a.example"), "invalid_grant", "ok"},
		{"jwk", undecided, header("jwk", dict{}), "invalid_grant", "ok"},
		{"a header of one's own", undecided, header("x-app", "1"), "invalid_grant", "ok"},
		{"x5c and kid", grantHeader, header("kid", "k1"), "invalid_grant", ""},
		{"x5c and kid, with registered keys", grantHeader, both(issuedBy("keys"), header("kid", "k1")), "invalid_grant", ""},
		{"neither x5c nor kid", grantHeader, none("x5c"), "invalid_grant", ""},
		{"neither, with registered keys", keysPage, both(issuedBy("keys"), none("x5c")), "invalid_grant", ""},

		{"a registered key", keysPage, keyed("keys", "k1"), "ok", ""},
		{"a key near its end", keysPage, keyed("keys", "ending"), "ok", ""},
		{"an expired key", keysPage, keyed("keys", "old"), "MP-121", ""},
		{"x5c with registered keys", keysPage, issuedBy("keys"), "invalid_grant", ""},
		{"an unknown kid", errorsPage, keyed("keys", "k9"), "invalid_grant", ""},
		{"another client's kid", errorsPage, keyed("keys", "k2"), "invalid_grant", ""},
		{"a kid without registered keys", errorsPage, keyed(maskinportentest.DefaultClientID, "k1"), "invalid_grant", ""},
		{"a kid in other letters", errorsPage, keyed("keys", "K1"), "invalid_grant", ""},
		{"a kid with a blank", errorsPage, keyed("keys", "k1 "), "invalid_grant", ""},
		{"an empty kid", errorsPage, keyed("keys", ""), "invalid_grant", ""},
		{"a kid of another key", errorsPage, keyed("keys", "another"), "MP-124", ""},
		{"a kid that is a number", grantHeader, both(keyed("keys", ""), header("kid", 1)), "invalid_grant", ""},
		{"a kid that is null", grantHeader, both(keyed("keys", ""), header("kid", nil)), "invalid_grant", ""},
	}
}

func chainVerdicts() []verdict {
	return []verdict{
		{"without the root", grantChain, x5c(func(c []string) any { return c[:2] }), "ok", ""},
		{"the leaf alone", deployedNotes, x5c(func(c []string) any { return c[:1] }), "MP-120", "ok"},
		{"line breaks in x5c", deployedNotes, x5c(func(c []string) any { return []string{c[0] + "\r", c[1], c[2]} }), "MP-123", "ok"},
		{"x5c a string", grantChain, x5c(func(c []string) any { return c[0] }), "MP-123", ""},
		{"x5c joined by commas", grantChain, x5c(func(c []string) any { return strings.Join(c, ",") }), "MP-123", ""},
		{"x5c joined by blanks in one string", grantChain, x5c(func(c []string) any { return list{strings.Join(c, " ")} }), "MP-123", ""},
		{"x5c an object", grantChain, x5c(func([]string) any { return dict{} }), "MP-123", ""},
		{"x5c null", grantChain, x5c(func([]string) any { return nil }), "MP-123", ""},
		{"x5c empty", grantChain, x5c(func([]string) any { return list{} }), "MP-123", ""},
		{"x5c of numbers", grantChain, x5c(func([]string) any { return list{1} }), "MP-123", ""},
		{"x5c of arrays", grantChain, x5c(func(c []string) any { return list{list{c[0]}} }), "MP-123", ""},
		{"x5c with an empty string", grantChain, x5c(func(c []string) any { return append(c[:2:2], "") }), "MP-123", ""},
		{"x5c in base64url", grantChain, x5c(func([]string) any { return list{"_-__"} }), "MP-123", ""},
		{"x5c without padding", grantChain, x5c(func(c []string) any {
			return []string{strings.TrimRight(c[0], "=") + "A", c[1], c[2]}
		}), "MP-123", ""},
		{"x5c no certificate", grantChain, x5c(func([]string) any { return list{"AAAA"} }), "MP-123", ""},
		{"x5c in PEM", grantChain, x5c(func(c []string) any { return list{"-----BEGIN CERTIFICATE-----" + c[0]} }), "MP-123", ""},
		{"the root first", grantChain, x5c(func(c []string) any { return []string{c[2], c[1], c[0]} }), "MP-120", ""},
		{"the issuer first", grantChain, x5c(func(c []string) any { return []string{c[1], c[0], c[2]} }), "MP-120", ""},
		{"out of order", grantChain, x5c(func(c []string) any { return []string{c[0], c[2], c[1]} }), "MP-120", ""},
		{"the leaf and the root", grantChain, x5c(func(c []string) any { return []string{c[0], c[2]} }), "MP-120", ""},
		{"the leaf twice", grantChain, x5c(func(c []string) any { return []string{c[0], c[0], c[1], c[2]} }), "MP-120", ""},
		{"the root twice", undecided, x5c(func(c []string) any { return append(c[:3:3], c[2]) }), "ok", ""},
		{"the issuer as leaf", errorsPage, x5c(func(c []string) any { return c[1:] }), "MP-120", ""},
		{"self-signed", certificates, func(g *raw) { selfSigned(nil, g) }, "MP-120", ""},
		{"production's", certificates, certified(maskinportentest.Certificate{Production: true}), "MP-120", ""},
		{"production's, the leaf alone", certificates, both(certified(maskinportentest.Certificate{Production: true}), x5c(func(c []string) any { return c[:1] })), "MP-120", ""},
		{"SEID 1", certificates, certified(maskinportentest.Certificate{SEID1: true}), "ok", ""},
		{"for signing documents", certificates, certified(maskinportentest.Certificate{KeyUsage: x509.KeyUsageContentCommitment}), "MP-120", ""},
		{"for encryption", certificates, certified(maskinportentest.Certificate{KeyUsage: x509.KeyUsageKeyEncipherment}), "MP-120", ""},
		{"for both", certificates, certified(maskinportentest.Certificate{KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment}), "ok", ""},
		{"of 1024 bits", certificates, func(g *raw) { g.key = smallKey(); g.certify(maskinportentest.Certificate{}) }, "MP-120", ""},
		{"expired", errorsPage, certified(maskinportentest.Certificate{NotBefore: time.Now().AddDate(-4, 0, 0)}), "MP-124", ""},
		{"of tomorrow", errorsPage, certified(maskinportentest.Certificate{NotBefore: time.Now().AddDate(0, 0, 1)}), "MP-124", ""},
		{"of another organisation", errorsPage, certified(maskinportentest.Certificate{OrgNumber: otherOrg}), "MP-122", ""},
		{"of the other client's owner", errorsPage, both(certified(maskinportentest.Certificate{OrgNumber: otherOrg}), issuedBy("theirs")), "ok", ""},
		{"signed by another key than the certificate's", errorsPage, func(g *raw) { g.key = otherKey() }, "MP-124", ""},
	}
}

func clientVerdicts() []verdict {
	aud := func(v any) func(*raw) { return set("aud", v) }
	return []verdict{
		{"no iss", grantClaims, drop("iss"), "invalid_grant", ""},
		{"an unknown client", errorsPage, issuedBy("nobody"), "MP-100", ""},
		{"a client in other letters", errorsPage, issuedBy(strings.ToUpper(maskinportentest.DefaultClientID)), "MP-100", ""},
		{"iss with a line break", errorsPage, issuedBy(maskinportentest.DefaultClientID + "\n"), "MP-011", ""},
		{"iss with a blank", errorsPage, issuedBy(" " + maskinportentest.DefaultClientID), "MP-011", ""},
		{"iss empty", errorsPage, issuedBy(""), "MP-011", ""},
		{"iss a number", grantClaims, set("iss", 1), "invalid_grant", ""},
		{"iss an array", grantClaims, set("iss", list{maskinportentest.DefaultClientID}), "invalid_grant", ""},
		{"iss null", grantClaims, set("iss", nil), "invalid_grant", ""},

		{"no aud", grantClaims, drop("aud"), "MP-110", ""},
		{"production's aud", errorsPage, aud("https://maskinporten.no/"), "MP-110", ""},
		{"ver2's aud", errorsPage, aud("https://ver2.maskinporten.no/"), "MP-110", ""},
		{"aud without its slash", errorsPage, aud("https://test.maskinporten.no"), "MP-110", ""},
		{"aud with two slashes", errorsPage, aud("https://test.maskinporten.no//"), "MP-110", ""},
		{"aud over http", errorsPage, aud("http://test.maskinporten.no/"), "MP-110", ""},
		{"aud in capitals", errorsPage, aud("https://TEST.maskinporten.no/"), "MP-110", ""},
		{"the token endpoint as aud", grantClaims, aud("https://test.maskinporten.no/token"), "MP-110", ""},
		{"aud an array", grantClaims, aud(list{"https://test.maskinporten.no/"}), "MP-110", ""},
		{"aud two", grantClaims, aud(list{"https://test.maskinporten.no/", "x"}), "MP-110", ""},
		{"aud empty", errorsPage, aud(""), "MP-110", ""},
		{"aud null", grantClaims, aud(nil), "MP-110", ""},

		{"nbf now", deployedNotes, set("nbf", time.Now().Unix()), "invalid_grant", "ok"},
		{"sub", deployedNotes, set("sub", maskinportentest.DefaultClientID), "invalid_grant", "ok"},
		{"client_id as a claim", undecided, set("client_id", "x"), "invalid_grant", "ok"},
		{"consumer-org, misspelt", undecided, set("consumer-org", otherOrg), "invalid_grant", "ok"},
		{"Scope in capitals beside scope", undecided, set("SCOPE", "x"), "invalid_grant", "ok"},
		{"a claim of one's own", undecided, set("app", "x"), "invalid_grant", "ok"},

		{"no jti", grantClaims, drop("jti"), "ok", ""},
		{"a long jti", grantClaims, func(g *raw) { g.claims["jti"] = rand.Text() + strings.Repeat("x", 2000) }, "ok", ""},
		{"jti a number", undecided, set("jti", 1), "invalid_grant", ""},
		{"jti empty", undecided, set("jti", ""), "invalid_grant", ""},
		{"jti null", undecided, set("jti", nil), "invalid_grant", ""},
		{"jti an array", undecided, set("jti", list{"x"}), "invalid_grant", ""},
	}
}

func timeVerdicts() []verdict {
	const s = time.Second
	return []verdict{
		{"9 s ahead", grantTime, times(9*s, 60*s), "ok", ""},
		{"13 s ahead", grantTime, times(13*s, 60*s), "invalid_grant", ""},
		{"an hour ahead", grantTime, times(time.Hour, time.Hour+60*s), "invalid_grant", ""},
		{"8 s behind", grantTime, times(-8*s, 60*s), "ok", ""},
		{"13 s behind", deployedNotes, times(-13*s, 60*s), "MP-130", "ok"},
		{"100 s behind", deployedNotes, times(-100*s, 15*s), "MP-130", "ok"},
		{"an hour behind", grantTime, times(-time.Hour, -time.Hour+100*s), "MP-130", ""},
		{"for 5 s", grantTime, times(0, 5*s), "ok", ""},
		{"for 120 s", grantTime, times(0, 120*s), "ok", ""},
		{"for 121 s", deployedNotes, times(0, 121*s), "invalid_grant", "ok"},
		{"for 180 s", deployedNotes, times(0, 180*s), "invalid_grant", "ok"},
		{"for 181 s", deployedNotes, times(0, 181*s), "invalid_grant", ""},
		{"for an hour", grantTime, times(0, time.Hour), "invalid_grant", ""},
		{"just expired", deployedNotes, times(-60*s, -3*s), "MP-130", "ok"},
		{"expired beyond the grace", deployedNotes, times(-60*s, -13*s), "MP-130", ""},
		{"exp before iat", grantTime, times(0, -20*s), "MP-130", ""},
		{"no iat", grantClaims, drop("iat"), "invalid_grant", ""},
		{"no exp", grantClaims, drop("exp"), "invalid_grant", ""},
		{"iat a string", grantClaims, func(g *raw) { g.claims["iat"] = "1700000000" }, "invalid_grant", ""},
		{"exp a string", grantClaims, func(g *raw) { g.claims["exp"] = "1700000000" }, "invalid_grant", ""},
		{"iat null", grantClaims, set("iat", nil), "invalid_grant", ""},
		{"exp null", grantClaims, set("exp", nil), "invalid_grant", ""},
		{"iat true", grantClaims, set("iat", true), "invalid_grant", ""},
		{"iat with a fraction", undecided, func(g *raw) { g.claims["iat"] = float64(time.Now().Unix()) + 0.5 }, "invalid_grant", ""},
		{"iat in milliseconds", grantClaims, func(g *raw) { g.claims["iat"] = time.Now().UnixMilli() }, "invalid_grant", ""},
		{"both in milliseconds", grantClaims, func(g *raw) {
			g.claims["iat"], g.claims["exp"] = time.Now().UnixMilli(), time.Now().UnixMilli()+100
		}, "invalid_grant", ""},
		{"iat zero", grantTime, set("iat", 0), "invalid_grant", ""},
		{"iat negative", grantTime, set("iat", -1), "invalid_grant", ""},
		{"exp zero", grantTime, set("exp", 0), "MP-130", ""},
		{"exp beyond all numbers", grantClaims, func(g *raw) { g.claimsJSON = `{"iss":"keys","exp":1e400}` }, "invalid_grant", ""},
	}
}
