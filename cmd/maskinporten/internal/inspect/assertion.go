package inspect

import (
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // for the algorithms below
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// persons are national identity numbers.
var persons = regexp.MustCompile(`\b\d{11}\b`)

// claimRule is what Digdir says of a claim of a grant.
type claimRule struct {
	name     string
	required bool
	problem  func(g *grant, raw json.RawMessage) string // empty if there is none
}

// claimRules are all that may stand in a grant, in the order in which they are
// shown (https://docs.digdir.no/docs/Maskinporten/maskinporten_protocol_jwtgrant).
var claimRules = []claimRule{
	{"aud", true, (*grant).audience},
	{"iss", true, (*grant).issuer},
	{"scope", true, (*grant).scope},
	{"iat", true, (*grant).issuedAt},
	{"exp", true, (*grant).expiry},
	{"jti", false, isText},
	{"consumer_org", false, (*grant).consumer},
	{"resource", false, (*grant).resource},
	{"pid", false, (*grant).pid},
	{"iss_onbehalfof", false, (*grant).onBehalfOf},
	{"authorization_details", false, (*grant).details},
}

// grant is an assertion that is being judged.
type grant struct {
	header, claims object
	now            time.Time
}

// assertion holds each claim of a grant against Digdir's rules.
func (f *File) assertion(token string, header, claims object, now time.Time) {
	f.Kind = Assertion
	f.Verdict.Opened = true
	g := &grant{header, claims, now}
	var problems []string
	add := func(name, value, problem string) {
		f.Claims = append(f.Claims, Claim{name, value, problem == "", problem})
		if problem != "" {
			problems = append(problems, name+" "+problem)
		}
	}
	chain := g.chain()
	add("alg", show("alg", header.raw["alg"]), g.algorithm())
	g.keyHeader(add, chain)
	for _, rule := range claimRules {
		raw, there := claims.raw[rule.name]
		switch {
		case there:
			add(rule.name, show(rule.name, raw), rule.problem(g, raw))
		case rule.required:
			add(rule.name, "", "is missing, and required")
		case rule.name == "jti":
			f.Claims = append(f.Claims, Claim{"jti", "", true, "is missing: Digdir recommends one"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(claims.raw)) {
		if !slices.ContainsFunc(claimRules, func(r claimRule) bool { return r.name == name }) {
			add(clean(name), show(name, claims.raw[name]), "is not documented: leave it out")
		}
	}
	if len(chain) > 0 {
		f.describe(chain, now)
		add("signature", "", checkSignature(token, header, chain[0]))
	}
	f.Verdict.OK = len(problems) == 0
	f.Verdict.Text = "an assertion as Digdir documents it"
	if len(problems) > 0 {
		f.Verdict.Text = "not as Digdir documents it: " + strings.Join(problems, "; ")
	}
	if len(chain) == 0 {
		f.Verdict.Text += " (the signature can be checked only by who has the registered key)"
	}
}

func (g *grant) algorithm() string {
	switch alg, _ := g.header.Text("alg"); alg {
	case "RS256", "RS384", "RS512":
		return ""
	}
	return "is not RS256, RS384 or RS512"
}

// chain is the certificates of x5c; nil if they cannot be read.
func (g *grant) chain() (chain []*x509.Certificate) {
	texts, _ := g.header.Texts("x5c")
	for _, text := range texts {
		der, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil
		}
		chain = append(chain, c)
	}
	return chain
}

// keyHeader judges what names the key: x5c or kid, and only one of them.
func (g *grant) keyHeader(add func(name, value, problem string), chain []*x509.Certificate) {
	raw, x5c := g.header.raw["x5c"]
	kid, hasKid := g.header.raw["kid"]
	switch {
	case !x5c && !hasKid:
		add("kid", "", "is missing, and x5c too: one of them names the key")
		return
	case x5c && hasKid:
		add("kid", show("kid", kid), "stands beside x5c: exactly one of them is allowed")
	case hasKid:
		add("kid", show("kid", kid), "")
		return
	}
	var texts []string
	problem := ""
	switch {
	case json.Unmarshal(raw, &texts) != nil:
		problem = "is not an array of strings (MP-123)"
	case len(chain) == 0:
		problem = "holds what is no certificate in base64 of DER (MP-123)"
	case len(chain) == 1:
		problem = "holds the leaf alone: Digdir wants the full chain"
	case chain[0].CheckSignatureFrom(chain[1]) != nil:
		problem = "is not in order: the leaf comes first, then its issuer"
	case g.now.After(chain[0].NotAfter):
		problem = "begins with a certificate that expired on " + chain[0].NotAfter.UTC().Format(time.DateOnly)
	case chain[0].KeyUsage != 0 && chain[0].KeyUsage&x509.KeyUsageDigitalSignature == 0:
		problem = "begins with a certificate whose Key Usage lacks Digital Signature"
	}
	value := fmt.Sprintf("%d certificates", len(texts))
	if len(chain) > 0 {
		value += ", the first is " + clean(chain[0].Subject.CommonName)
	}
	add("x5c", value, problem)
}

func isText(_ *grant, raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil || text == "" {
		return "is not a string, or an empty one"
	}
	return ""
}

func (g *grant) audience(raw json.RawMessage) string {
	var one string
	switch {
	case json.Unmarshal(raw, &one) != nil:
		return "is not one string"
	case one == maskinporten.Prod.Issuer, one == maskinporten.Test.Issuer:
		return ""
	case strings.HasSuffix(one, "/token"):
		return "is the token endpoint: it has to be the issuer, " + strings.TrimSuffix(one, "token")
	case one+"/" == maskinporten.Prod.Issuer, one+"/" == maskinporten.Test.Issuer:
		return "lacks the slash at its end"
	}
	return ""
}

func (g *grant) issuer(raw json.RawMessage) string { return isText(g, raw) }

func (g *grant) scope(raw json.RawMessage) string {
	var text string
	switch {
	case json.Unmarshal(raw, &text) != nil || strings.TrimSpace(text) == "":
		return "is not a string, or an empty one"
	case strings.ContainsAny(text, ",;\t\r\n"):
		return "holds something else than scopes with one space between them"
	}
	return ""
}

func (g *grant) issuedAt(json.RawMessage) string {
	issued, err := g.claims.Time("iat")
	switch ago := g.now.Sub(issued); {
	case err != nil:
		return "is not a number of seconds since 1970"
	case ago < -10*time.Second:
		return fmt.Sprintf("is %v ahead of this machine's clock, and ten seconds are tolerated", -ago.Round(time.Second))
	}
	return ""
}

func (g *grant) expiry(json.RawMessage) string {
	expires, err := g.claims.Time("exp")
	issued, _ := g.claims.Time("iat")
	switch {
	case err != nil:
		return "is not a number of seconds since 1970"
	case expires.Sub(issued) > 120*time.Second:
		return fmt.Sprintf("is %v after iat, and 120 seconds are the most", expires.Sub(issued))
	case !expires.After(issued):
		return "is not after iat"
	case g.now.After(expires):
		return fmt.Sprintf("was %v ago", g.now.Sub(expires).Round(time.Second))
	}
	return ""
}

func (g *grant) consumer(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return "is not a string"
	}
	if n, err := maskinporten.ParseOrgNumber(text); err != nil || n != text {
		return "is not an organisation number of nine digits"
	}
	return ""
}

func (g *grant) resource(raw json.RawMessage) string {
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return "is not an array of strings, which is all that Digdir supports"
	}
	return ""
}

func (g *grant) pid(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil || !persons.MatchString(text) || len(text) != 11 {
		return "is not a string of eleven digits"
	}
	return ""
}

func (g *grant) onBehalfOf(json.RawMessage) string {
	if g.claims.Has("consumer_org") {
		return "cannot stand together with consumer_org, and is to be removed"
	}
	return "is deprecated, to be removed: use consumer_org"
}

func (g *grant) details(raw json.RawMessage) string {
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return "is not an array of objects"
	}
	for _, detail := range list {
		var kind string
		json.Unmarshal(detail["type"], &kind)
		switch kind {
		case "urn:altinn:systemuser":
			if detail["systemuser_org"] == nil {
				return "lacks systemuser_org"
			}
		case "urn:altinn:consent":
			if detail["id"] == nil || detail["from"] == nil {
				return "lacks id or from of the consent"
			}
		default:
			return fmt.Sprintf("has the type %q, which is not known (MP-301)", clean(kind))
		}
	}
	return ""
}

// checkSignature verifies with the leaf of x5c.
func checkSignature(token string, header object, leaf *x509.Certificate) string {
	alg, _ := header.Text("alg")
	hash, known := map[string]crypto.Hash{"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512}[alg]
	public, isRSA := leaf.PublicKey.(*rsa.PublicKey)
	if !known || !isRSA {
		return "cannot be checked: not RSA"
	}
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		return "is not base64url"
	}
	digest := hash.New()
	digest.Write([]byte(token[:dot]))
	if rsa.VerifyPKCS1v15(public, hash, digest.Sum(nil), signature) != nil {
		return "was not made by the key of the first certificate (MP-124)"
	}
	return ""
}
