package maskinportentest

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/redact"
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
	TraceID     string // of the refusal, as its text gives it
	AccessToken string // if one was issued, also where its answer was lost
	Answer      string // the body of the answer; empty if the connection was broken off

	// Warnings are what Digdir's pages do not allow, and was let pass: see
	// [Fake.AsDeployed].
	Warnings []string
}

// Accepted reports whether a token was issued and answered.
func (g Grant) Accepted() bool { return g.Status == 200 && g.AccessToken != "" }

// String is the grant in one line: who asked for what, and the answer. It shows
// no token and no person.
func (g Grant) String() string {
	verdict := fmt.Sprintf("%d", g.Status)
	switch {
	case g.Status == 0:
		verdict = "connection broken off"
	case g.Accepted():
		verdict += " token"
	case g.Code != "":
		verdict += " " + strings.TrimSpace(g.Code+" "+g.MPCode) + ": " + redact.Clean(g.Description, 300)
	}
	if g.TraceID != "" && !strings.Contains(g.Description, g.TraceID) {
		verdict += " (trace_id: " + redact.Clean(g.TraceID, 100) + ")"
	}
	for _, w := range g.Warnings {
		verdict += "; warning: " + redact.Clean(w, 300)
	}
	return fmt.Sprintf("client %q, %s: %s", redact.Clean(g.ClientID, 100), g.Request(), verdict)
}

// Request is what was asked for, in the library's terms.
func (g Grant) Request() maskinporten.Request {
	r := maskinporten.Request{
		Scope:       text(g.Claims, "scope"),
		ConsumerOrg: text(g.Claims, "consumer_org"),
		PID:         text(g.Claims, "pid"),
		//lint:ignore SA1019 it is still taken
		OnBehalfOf: text(g.Claims, "iss_onbehalfof"),
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

func (g *Grant) note(a answer) {
	g.AccessToken = a.token
	g.Status = 200
	if r := a.refusal; r != nil {
		g.Status, g.Code, g.MPCode, g.Description, g.TraceID = r.status, r.code, r.mp, r.description, r.traceID
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

// documented are the claims that Digdir's page lists for a grant.
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
			if bad := f.deviation(g, invalidAssertion("Unknown claim "+name)); bad != nil {
				return refused(bad)
			}
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
	if bad := f.checkTimeAndPlace(g, token, assertion, client); bad != nil {
		return refused(bad)
	}
	asked, bad := f.readAsked(g, token.claims, client)
	if bad != nil {
		return refused(bad)
	}
	if bad := f.authorize(asked, client); bad != nil {
		return refused(bad)
	}
	return f.issue(g, asked, client, amr)
}

func (f *Fake) issuerOf(token *jws) (Integration, *refusal) {
	id, ok := token.claims["iss"].(string)
	switch {
	case !ok:
		return Integration{}, invalidAssertion("iss must be the client id, as a string")
	case !printable(id):
		return Integration{}, refuse("MP-011", "iss holds a space, a line break or a control character")
	}
	client, ok := f.client(id)
	if !ok {
		return Integration{}, refuse("MP-100", "client_id "+id)
	}
	return client, nil
}

// Limits on time: those of Digdir's jwt grant page, and those of the server as
// it is deployed (https://github.com/Altinn/altinn-studio/issues/19603).
const (
	tolerance           = 10 * time.Second
	maxLifetime         = 120 // seconds
	maxDeployedLifetime = 180 // seconds
)

// checkTimeAndPlace holds the grant to this issuer, this moment and one use.
func (f *Fake) checkTimeAndPlace(g *Grant, token *jws, assertion string, client Integration) *refusal {
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
	if bad := f.checkTimes(g, time.Unix(iat, 0), time.Unix(exp, 0)); bad != nil {
		return bad
	}
	id := grantID{client: client.ID}
	if jti, present := token.claims["jti"]; present {
		if id.jti, ok = jti.(string); !ok || id.jti == "" {
			return invalidAssertion("jti, if present, must be a string")
		}
	} else {
		digest := sha256.Sum256([]byte(assertion))
		id.digest = string(digest[:])
	}
	now := f.now().Unix()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.used.use(id, exp+int64(tolerance/time.Second), now) {
		return refuse("MP-012", "")
	}
	return nil
}

func (f *Fake) checkTimes(g *Grant, issued, expires time.Time) *refusal {
	now := f.now()
	lifetime := expires.Unix() - issued.Unix()
	switch {
	case issued.After(now.Add(tolerance)):
		return invalidAssertion("Issue time is after now")
	case lifetime > maxDeployedLifetime:
		return invalidAssertion("JWT has too long lifetime: exp is more than 120 seconds after iat")
	case !expires.Add(tolerance).After(now):
		return refuse("MP-130", "exp has passed")
	}
	if lifetime > maxLifetime {
		if bad := f.deviation(g, invalidAssertion("JWT has too long lifetime: exp is more than 120 seconds after iat")); bad != nil {
			return bad
		}
	}
	if !expires.After(now) {
		if bad := f.deviation(g, refuse("MP-130", "exp has passed")); bad != nil {
			return bad
		}
	}
	if issued.Before(now.Truncate(time.Second).Add(-tolerance)) {
		return f.deviation(g, refuse("MP-130", "iat is more than 10 seconds ago"))
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
