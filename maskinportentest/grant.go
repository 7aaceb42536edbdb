package maskinportentest

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// Grant is a token request as the Fake saw it, and what it was answered.
type Grant struct {
	Time time.Time // when it came, by the Fake's clock

	// What was sent; empty where it could not be read.
	Algorithm string
	KeyID     string              // kid
	Chain     []*x509.Certificate // x5c, if it leads to the Fake's root
	Claims    map[string]any      // numbers are json.Number
	ClientID  string              // iss

	// What was answered. Status is zero if the connection was broken off.
	Status      int
	Code        string // invalid_grant, …; empty with a token
	MPCode      string // MP-121, …; empty if there is none
	Description string
	AccessToken string // if one was issued, also where its answer was lost
}

// Accepted tells whether a token was issued and answered.
func (g Grant) Accepted() bool { return g.Status == 200 && g.AccessToken != "" }

// Request is what was asked for, in the library's terms.
func (g Grant) Request() maskinporten.Request {
	r := maskinporten.Request{
		Scope:       text(g.Claims, "scope"),
		ConsumerOrg: text(g.Claims, "consumer_org"),
		PID:         text(g.Claims, "pid"),
		OnBehalfOf:  text(g.Claims, "iss_onbehalfof"),
	}
	if resource, ok := g.Claims["resource"].([]any); ok && len(resource) > 0 {
		r.Resource, _ = resource[0].(string)
	}
	details, _ := g.Claims["authorization_details"].([]any)
	for _, d := range details {
		d, _ := d.(map[string]any)
		switch d["type"] {
		case systemUserType:
			owner, _ := d["systemuser_org"].(map[string]any)
			r.SystemUser.OrgNumber = strings.TrimPrefix(text(owner, "ID"), "0192:")
			r.SystemUser.ExternalRef = text(d, "externalRef")
		case consentType:
			r.Consent = maskinporten.Consent{ID: text(d, "id"), From: text(d, "from")}
		}
	}
	return r
}

func (g *Grant) note(a answer, f Fault) {
	g.AccessToken = a.token
	g.Status = 200
	if a.refusal != nil {
		g.Status, g.Code, g.MPCode, g.Description = a.refusal.status, a.refusal.code, a.refusal.mp, a.refusal.description
	}
	if f.Drop {
		g.Status = 0
	}
}

// readGrant takes the assertion apart and fills g from it.
func readGrant(g *Grant, assertion string) (*jws, *refusal) {
	token, err := parseJWS(assertion)
	if err != nil {
		return nil, invalidAssertion(err.Error())
	}
	g.Algorithm, _ = token.header["alg"].(string)
	g.KeyID, _ = token.header["kid"].(string)
	g.Claims = maps.Clone(token.claims)
	g.ClientID, _ = token.claims["iss"].(string)
	return token, nil
}

// documented are the claims that a grant may hold. Any other is refused.
var documented = []string{
	"aud", "iss", "scope", "iat", "exp", "jti",
	"consumer_org", "resource", "pid", "iss_onbehalfof", "authorization_details",
}

// judge holds a grant to the rules: first whose it is, then whether it is
// valid here and now, then what it asks for.
func (f *Fake) judge(g *Grant, token *jws, assertion string) answer {
	refused := func(r *refusal) answer { return answer{refusal: r} }
	for _, name := range slices.Sorted(maps.Keys(token.claims)) {
		if !slices.Contains(documented, name) {
			return refused(invalidAssertion("Unknown claim " + name))
		}
	}
	client, bad := f.issuerOf(token)
	if bad != nil {
		return refused(bad)
	}
	amr, bad := f.authenticate(g, token, client)
	if bad != nil {
		return refused(bad)
	}
	if bad := f.checkTimeAndPlace(token, assertion, client); bad != nil {
		return refused(bad)
	}
	asked, bad := f.readAsked(token.claims, client)
	if bad != nil {
		return refused(bad)
	}
	if bad := f.authorize(asked, client); bad != nil {
		return refused(bad)
	}
	return f.issue(asked, client, amr)
}

func (f *Fake) issuerOf(token *jws) (Client, *refusal) {
	id, ok := token.claims["iss"].(string)
	switch {
	case !ok:
		return Client{}, invalidAssertion("iss must be the client id, as a string")
	case !printable(id):
		return Client{}, refuse("MP-011", "iss holds a space, a line break or a control character")
	}
	client, ok := f.client(id)
	if !ok {
		return Client{}, refuse("MP-100", "client_id "+id)
	}
	return client, nil
}

// authenticate finds the key by the header and verifies the signature with it.
func (f *Fake) authenticate(g *Grant, token *jws, client Client) (amr string, bad *refusal) {
	for _, name := range slices.Sorted(maps.Keys(token.header)) {
		if !slices.Contains([]string{"alg", "typ", "x5c", "kid"}, name) {
			return "", invalidAssertion("Unknown header " + name)
		}
	}
	if _, ok := algorithms[g.Algorithm]; !ok {
		return "", invalidAssertion("alg must be RS256, RS384 or RS512")
	}
	if typ, present := token.header["typ"]; present && typ != "JWT" {
		return "", invalidAssertion("typ, if present, must be JWT")
	}
	x5c, hasChain := token.header["x5c"]
	kid, hasKey := token.header["kid"]
	var key *rsa.PublicKey
	switch {
	case hasChain == hasKey:
		return "", invalidAssertion("The header must hold exactly one of x5c and kid")
	case hasKey:
		amr = "private_key_jwt"
		key, bad = f.registeredKey(kid, client)
	default:
		amr = "virksomhetssertifikat"
		key, bad = f.certifiedKey(g, x5c)
	}
	if bad != nil {
		return "", bad
	}
	if token.verify(key) != nil {
		return "", refuse("MP-124", "")
	}
	if hasChain && organisationOf(g.Chain[0]) != client.OrgNumber {
		return "", refuse("MP-122", fmt.Sprintf("The certificate is of %s, the client of %s", organisationOf(g.Chain[0]), client.OrgNumber))
	}
	return amr, nil
}

func (f *Fake) registeredKey(kid any, client Client) (*rsa.PublicKey, *refusal) {
	id, ok := kid.(string)
	if !ok {
		return nil, invalidAssertion("kid must be a string")
	}
	i := slices.IndexFunc(client.Keys, func(k Key) bool { return k.ID == id })
	if i < 0 {
		return nil, refuse("MP-124", "No key with this kid is registered on the client")
	}
	if !f.now().Before(client.Keys[i].Expires) {
		return nil, refuse("MP-121", "")
	}
	return client.Keys[i].Public, nil
}

func (f *Fake) certifiedKey(g *Grant, x5c any) (*rsa.PublicKey, *refusal) {
	list, ok := x5c.([]any)
	if !ok || len(list) == 0 {
		return nil, refuse("MP-123", "It must be an array of strings")
	}
	var encoded []string
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, refuse("MP-123", "It must be an array of strings")
		}
		encoded = append(encoded, s)
	}
	chain, bad := f.authority.chain(encoded)
	if bad != nil {
		return nil, bad
	}
	g.Chain = chain
	now := f.now()
	for _, c := range chain {
		if now.After(c.NotAfter) || now.Before(c.NotBefore) {
			return nil, refuse("MP-124", fmt.Sprintf("The certificate %q has expired or is not valid yet", c.Subject.CommonName))
		}
	}
	leaf := chain[0]
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	switch {
	case !ok || key.N.BitLen() < 2048:
		return nil, refuse("MP-120", "The key must be RSA, of 2048 bits at least")
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, refuse("MP-120", "Its Key Usage lacks Digital Signature")
	}
	return key, nil
}

// chain reads an x5c: the leaf first, each certificate signed by the next, the
// last one the root or signed by it. What it found it remembers.
func (a *authority) chain(x5c []string) ([]*x509.Certificate, *refusal) {
	id := sha256.Sum256([]byte(strings.Join(x5c, " ")))
	a.mu.Lock()
	known := a.known[id]
	a.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var chain []*x509.Certificate
	for _, s := range x5c {
		raw, err := base64.StdEncoding.Strict().DecodeString(s)
		if err != nil || strings.ContainsAny(s, "\r\n") {
			return nil, refuse("MP-123", "Its strings must be base64")
		}
		c, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, refuse("MP-123", "Its strings must be certificates in DER")
		}
		chain = append(chain, c)
	}
	for i, c := range chain {
		if i == len(chain)-1 {
			if !c.Equal(a.root.certificate) && c.CheckSignatureFrom(a.root.certificate) != nil {
				return nil, refuse("MP-120", "x5c must be the full chain, to a root of this environment")
			}
		} else if c.CheckSignatureFrom(chain[i+1]) != nil {
			return nil, refuse("MP-120", "x5c must be the full chain in order, leaf first, and nothing else")
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= 1000 {
		clear(a.known)
	}
	a.known[id] = chain
	return chain, nil
}

// organisationOf is the organisation number in a certificate, SEID 2 or SEID 1.
func organisationOf(c *x509.Certificate) string {
	for _, name := range c.Subject.Names {
		if value, ok := name.Value.(string); ok && name.Type.Equal(oidOrganizationIdentifier) {
			return strings.TrimPrefix(value, "NTRNO-")
		}
	}
	return c.Subject.SerialNumber
}

// Limits on time (Digdir, jwt grant page).
const (
	tolerance       = 10 * time.Second
	longestLifetime = 120 // seconds
)

// checkTimeAndPlace holds the grant to this issuer, this moment and one use.
func (f *Fake) checkTimeAndPlace(token *jws, assertion string, client Client) *refusal {
	if aud, ok := token.claims["aud"].(string); !ok {
		return refuse("MP-110", "aud must be one string: "+f.env.Issuer)
	} else if aud != f.env.Issuer {
		return refuse("MP-110", "aud must be "+f.env.Issuer)
	}
	iat, ok := seconds(token.claims["iat"])
	if !ok {
		return invalidAssertion("iat must be there, in whole seconds")
	}
	exp, ok := seconds(token.claims["exp"])
	if !ok {
		return invalidAssertion("exp must be there, in whole seconds")
	}
	now := f.now()
	switch issued := time.Unix(iat, 0); {
	case issued.After(now.Add(tolerance)):
		return invalidAssertion("Issue time is after now")
	case exp-iat > longestLifetime:
		return invalidAssertion("exp is more than 120 seconds after iat")
	case !time.Unix(exp, 0).After(now):
		return refuse("MP-130", "exp has passed")
	case issued.Before(now.Truncate(time.Second).Add(-tolerance)):
		return refuse("MP-130", "iat is more than 10 seconds ago")
	}
	key := client.ID + " "
	if jti, present := token.claims["jti"]; present {
		id, ok := jti.(string)
		if !ok || id == "" {
			return invalidAssertion("jti, if present, must be a string")
		}
		key += "jti " + id
	} else {
		digest := sha256.Sum256([]byte(assertion))
		key += "grant " + string(digest[:])
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.used.use(key, exp, now.Unix()) {
		return refuse("MP-012", "")
	}
	return nil
}

func seconds(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := n.Int64()
	return i, err == nil
}

// asked is what a valid grant asks for.
type asked struct {
	scope     string
	scopes    []string
	consumer  string // whose token it is to be
	supplier  string // who asks, if that is another
	delegated bool   // in Altinn
	resource  []string
	pid       string
	details   []map[string]any // as the token has them
}

// readAsked reads what is asked for, each claim by its own rules.
func (f *Fake) readAsked(claims map[string]any, client Client) (*asked, *refusal) {
	a := &asked{consumer: client.OrgNumber}
	var ok bool
	if a.scope, ok = claims["scope"].(string); !ok || a.scope == "" {
		return nil, refuse("MP-011", "scope must be a string, and not empty")
	}
	a.scopes = strings.Split(a.scope, " ")
	for _, s := range a.scopes {
		if s == "" || !printable(s) || strings.ContainsAny(s, `"\`) {
			return nil, refuse("MP-011", "scope must be words with single spaces between them")
		}
	}
	if bad := readConsumer(claims, client, a); bad != nil {
		return nil, bad
	}
	if v, present := claims["resource"]; present {
		list, ok := v.([]any)
		if !ok || len(list) == 0 {
			return nil, refuse("MP-011", "resource must be an array of strings")
		}
		for _, v := range list {
			s, _ := v.(string)
			if u, err := url.Parse(s); err != nil || !u.IsAbs() || u.Fragment != "" || !printable(s) {
				return nil, refuse("MP-011", "resource must hold absolute URIs without a fragment")
			}
			a.resource = append(a.resource, s)
		}
	}
	if v, present := claims["pid"]; present {
		if a.pid, ok = v.(string); !ok || !digits(a.pid, 11) {
			return nil, refuse("MP-011", "pid must be eleven digits")
		}
	}
	if v, present := claims["authorization_details"]; present {
		var bad *refusal
		if a.details, bad = f.readDetails(v, client, a.consumer); bad != nil {
			return nil, bad
		}
	}
	return a, nil
}

func readConsumer(claims map[string]any, client Client, a *asked) *refusal {
	consumer, delegated := claims["consumer_org"]
	behalf, old := claims["iss_onbehalfof"]
	switch {
	case delegated && old:
		return refuse("MP-011", "consumer_org and iss_onbehalfof cannot stand together")
	case delegated:
		number, ok := consumer.(string)
		if !ok || !organisationNumber(number) {
			return refuse("MP-011", "consumer_org must be an organisation number of nine digits")
		}
		if number == client.OrgNumber {
			return refuse("MP-011", "consumer_org is the client's own organisation: leave it out")
		}
		a.consumer, a.supplier, a.delegated = number, client.OrgNumber, true
	case old:
		id, ok := behalf.(string)
		if ok && client.OnBehalfOf == nil && organisationNumber(id) {
			a.consumer = id
		} else if a.consumer, ok = client.OnBehalfOf[id]; !ok {
			return refuse("MP-011", "iss_onbehalfof is not registered on the client")
		}
		a.supplier = client.OrgNumber
	}
	return nil
}

// authorize tells whether the client, its owner and the consumer may have the
// scopes.
func (f *Fake) authorize(a *asked, client Client) *refusal {
	for _, s := range a.scopes {
		switch {
		case client.IntegrationType != "" && client.IntegrationType != "maskinporten":
			return refuse("MP-201", fmt.Sprintf("Integration type %s, scope %s", client.IntegrationType, s))
		case client.Scopes != nil && !slices.Contains(client.Scopes, s):
			return refuse("MP-200", "Scope "+s)
		case !f.hasAccess(s, a.consumer):
			return refuse("MP-250", fmt.Sprintf("Consumer %s, scope %s", a.consumer, s))
		case a.delegated && !f.hasDelegated(s, a.consumer, a.supplier):
			return refuse("MP-251", fmt.Sprintf("Consumer %s, supplier %s, scope %s", a.consumer, a.supplier, s))
		}
	}
	return nil
}

// organisationNumber checks nine digits by modulus 11 (PROTOCOL of
// Brønnøysundregistrene: weights 3 2 7 6 5 4 3 2).
func organisationNumber(s string) bool {
	if !digits(s, 9) {
		return false
	}
	sum := 0
	for i, digit := range []byte(s) {
		sum += int(digit-'0') * []int{3, 2, 7, 6, 5, 4, 3, 2, 1}[i]
	}
	return sum%11 == 0
}

func digits(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789") == ""
}

// printable is ASCII without spaces and control characters.
func printable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
