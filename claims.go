package maskinporten

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Claims is what an access token says
// (https://docs.digdir.no/docs/Maskinporten/maskinporten_protocol_token).
// Printed, logged or marshalled it does not show the persons it is about.
type Claims struct {
	Issuer    string
	ID        string // jti
	IssuedAt  time.Time
	Expiry    time.Time
	Scopes    []string
	Audience  []string // the resource asked for; "unspecified" when not restricted
	ClientID  string
	ClientAMR string // how the client authenticated: private_key_jwt, virksomhetssertifikat, …

	Consumer         OrgNumber // on whose behalf
	Supplier         OrgNumber // who asked, when delegated; else empty
	DelegationSource string    // where it was delegated; else empty

	PID         string // the person the token is restricted to; else empty
	SystemUsers []SystemUserClaim
	Consents    []ConsentClaim
}

// SystemUserClaim is a systembruker in a token's authorization_details.
type SystemUserClaim struct {
	IDs      []string
	SystemID string
	Owner    OrgNumber // whose systembruker it is
}

// ConsentClaim is a consent in a token's authorization_details
// (https://docs.altinn.studio/authorization/guides/validate-consent).
type ConsentClaim struct {
	ID        string
	From      string    // who gave it, as in [Consent]
	To        OrgNumber // to whom
	Consented time.Time
	ValidTo   time.Time // for the one who reads it to check
	Rights    []ConsentRight
}

// ConsentRight is one thing that was consented to.
type ConsentRight struct {
	Actions   []string
	Resources []string          // ids in Altinn's resource registry
	Metadata  map[string]string // what the consent is limited to, such as inntektsaar
}

// HasScope tells whether the token grants scope, which is one.
func (c *Claims) HasScope(scope string) bool { return slices.Contains(c.Scopes, scope) }

// HasAudience tells whether the token is restricted to audience.
func (c *Claims) HasAudience(audience string) bool { return slices.Contains(c.Audience, audience) }

// UnverifiedClaims is what token says of itself: nobody has checked who
// signed it, whether it has expired or whose it is. It is for looking into
// tokens, never for deciding by them: that is [Verifier.Verify]. The error is
// [ErrTokenInvalid], and does not contain the token.
func UnverifiedClaims(token string) (*Claims, error) {
	parts, err := split(token)
	if err != nil {
		return nil, err
	}
	return parts.claims()
}

// jwtParts is a token in compact form (RFC 7515 §3.1), still encoded.
type jwtParts struct {
	signed                     string // header and payload, with the dot
	header, payload, signature string
}

// maxToken is far above any token of Maskinporten: those with a long consent
// have a few thousand characters.
const maxToken = 64 << 10

var errNotJWT = errors.New("it is not a JWT of three parts")

// base64url is strict: a token has one spelling.
var base64url = base64.RawURLEncoding.Strict()

func split(token string) (jwtParts, error) {
	var p jwtParts
	if len(token) > maxToken || strings.ContainsAny(token, "\r\n") {
		return p, invalidToken(errNotJWT) // base64 would skip line breaks
	}
	last := strings.LastIndexByte(token, '.')
	if last < 0 {
		return p, invalidToken(errNotJWT)
	}
	p.signed, p.signature = token[:last], token[last+1:]
	var ok bool
	if p.header, p.payload, ok = strings.Cut(p.signed, "."); !ok || strings.Contains(p.payload, ".") {
		return p, invalidToken(errNotJWT)
	}
	return p, nil
}

// claims decodes the payload, once.
func (p jwtParts) claims() (*Claims, error) {
	payload, err := base64url.DecodeString(p.payload)
	if err != nil {
		return nil, invalidToken(errors.New("its payload is not base64url"))
	}
	var w wireClaims
	if err := json.Unmarshal(payload, &w); err != nil {
		return nil, invalidToken(errors.New("its payload is not JSON with the claims of an access token"))
	}
	c, err := w.typed()
	if err != nil {
		return nil, invalidToken(err)
	}
	return c, nil
}

// wireClaims is the payload as it is written.
type wireClaims struct {
	Issuer           string          `json:"iss"`
	ID               string          `json:"jti"`
	IssuedAt         float64         `json:"iat"`
	Expiry           float64         `json:"exp"`
	Scope            string          `json:"scope"`
	Audience         oneOrMore       `json:"aud"`
	ClientID         string          `json:"client_id"`
	ClientAMR        string          `json:"client_amr"`
	Consumer         organisationRef `json:"consumer"`
	Supplier         organisationRef `json:"supplier"`
	DelegationSource string          `json:"delegation_source"`
	PID              string          `json:"pid"`
	Details          []wireDetail    `json:"authorization_details"`
}

type wireDetail struct {
	Type string `json:"type"`

	SystemUserIDs   oneOrMore       `json:"systemuser_id"`
	SystemUserOwner organisationRef `json:"systemuser_org"`
	SystemID        string          `json:"system_id"`

	ID        string    `json:"id"`
	From      string    `json:"from"`
	To        recipient `json:"to"`
	Consented time.Time `json:"consented"`
	ValidTo   time.Time `json:"validTo"`
	Rights    []struct {
		Action   []string `json:"action"`
		Resource []struct {
			Value string `json:"value"`
		} `json:"resource"`
		Metadata map[string]string `json:"metadata"` // Altinn also writes metaData
	} `json:"consentRights"`
}

func (w *wireClaims) typed() (*Claims, error) {
	var failed error
	org := func(claim string, ref organisationRef) OrgNumber {
		if ref.ID == "" {
			return ""
		}
		n, err := ParseOrgNumber(ref.ID)
		if err != nil || ref.Authority != actorAuthority {
			failed = fmt.Errorf("its %s is %s of %q, not a Norwegian organisation", claim, maskNumber(ref.ID), redact.Clean(ref.Authority, 40))
		}
		return n
	}
	date := func(claim string, n float64) time.Time {
		const year10000 = 253402300800
		if n < 0 || n >= year10000 {
			failed = fmt.Errorf("its %s is no time", claim)
			return time.Time{}
		}
		if n == 0 {
			return time.Time{}
		}
		return time.Unix(int64(n), 0)
	}
	c := &Claims{
		Issuer: w.Issuer, ID: w.ID,
		IssuedAt: date("iat", w.IssuedAt), Expiry: date("exp", w.Expiry),
		Scopes: strings.Fields(w.Scope), Audience: w.Audience,
		ClientID: w.ClientID, ClientAMR: w.ClientAMR,
		Consumer: org("consumer", w.Consumer), Supplier: org("supplier", w.Supplier),
		DelegationSource: w.DelegationSource,
		PID:              w.PID,
	}
	for _, d := range w.Details {
		switch d.Type {
		case systemUserType:
			c.SystemUsers = append(c.SystemUsers, SystemUserClaim{IDs: d.SystemUserIDs, SystemID: d.SystemID, Owner: org("systemuser_org", d.SystemUserOwner)})
		case consentType:
			c.Consents = append(c.Consents, d.consent(org("to", organisationRef(d.To))))
		}
	}
	return c, failed
}

func (d *wireDetail) consent(to OrgNumber) ConsentClaim {
	c := ConsentClaim{ID: d.ID, From: d.From, To: to, Consented: d.Consented, ValidTo: d.ValidTo}
	for _, r := range d.Rights {
		right := ConsentRight{Actions: r.Action, Metadata: r.Metadata}
		for _, resource := range r.Resource {
			right.Resources = append(right.Resources, resource.Value)
		}
		c.Rights = append(c.Rights, right)
	}
	return c
}

// recipient is an organisation as in consumer, or in the URN that Altinn's
// pages on consent also show.
type recipient organisationRef

func (r *recipient) UnmarshalJSON(data []byte) error {
	if data[0] != '"' {
		return json.Unmarshal(data, (*organisationRef)(r))
	}
	var urn string
	err := json.Unmarshal(data, &urn)
	r.Authority, r.ID = actorAuthority, strings.TrimPrefix(urn, consentOrganisation)
	return err
}

// oneOrMore is a string or an array of them, as aud may be (RFC 7519 §4.1.3).
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		return json.Unmarshal(data, (*[]string)(o))
	}
	var one string
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	if one != "" {
		*o = oneOrMore{one}
	}
	return nil
}

// redacted shows that there are persons, not who.
func (c Claims) redacted() Claims {
	if c.PID != "" {
		c.PID = redact.Hidden
	}
	c.Consents = slices.Clone(c.Consents)
	for i := range c.Consents {
		c.Consents[i] = c.Consents[i].redacted()
	}
	return c
}

func (c ConsentClaim) redacted() ConsentClaim {
	c.From = Request{Consent: Consent{From: c.From}}.redacted().Consent.From
	return c
}

// String is the claims as JSON, and hides persons.
func (c Claims) String() string {
	text, _ := c.MarshalJSON() // cannot fail: strings and times before the year 10000
	return "Claims" + string(text)
}

// Format makes every verb print what String does.
func (c Claims) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue is what String prints.
func (c Claims) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON hides persons.
func (c Claims) MarshalJSON() ([]byte, error) {
	type plain Claims
	return json.Marshal(plain(c.redacted()))
}

// String hides a person.
func (c ConsentClaim) String() string {
	text, _ := c.MarshalJSON()
	return "ConsentClaim" + string(text)
}

// Format makes every verb print what String does.
func (c ConsentClaim) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue is what String prints.
func (c ConsentClaim) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalJSON hides a person.
func (c ConsentClaim) MarshalJSON() ([]byte, error) {
	type plain ConsentClaim
	return json.Marshal(plain(c.redacted()))
}
