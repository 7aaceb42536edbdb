package resourceserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/jws"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Claims is what an access token says
// (https://docs.digdir.no/docs/Maskinporten/maskinporten_protocol_token).
// What a token does not state is left empty. Printed, logged or marshalled it
// does not show the persons it is about.
type Claims struct {
	Issuer    string    // iss: the environment's issuer
	ID        string    // jti: of this one token
	IssuedAt  time.Time // iat
	Expiry    time.Time // exp: when the token expires, by Maskinporten's clock
	Scopes    []string  // scope: all that the token grants
	Audience  []string  // aud: the resource asked for; "unspecified", or nothing, when not restricted
	ClientID  string    // client_id: the integration in Samarbeidsportalen; eidas-… for a foreign business
	ClientAMR string    // client_amr: how the client authenticated, private_key_jwt, virksomhetssertifikat, …

	// Consumer is the Norwegian organisation number of the one on whose behalf
	// the token speaks, and ConsumerID the same as Maskinporten wrote it. A
	// foreign business (European eSeal) has only the latter.
	Consumer   string
	ConsumerID OrganisationID

	// Supplier and SupplierID are the one who asked for the token, when the
	// consumer has delegated the scope to it; else they are empty.
	Supplier   string
	SupplierID OrganisationID

	// DelegationSource is where it was delegated: https://www.altinn.no, in
	// test https://tt02.altinn.no, with a slash at the end or without.
	DelegationSource string

	// PID is the national identity number of the person that the token is
	// restricted to.
	PID string

	// SystemUsers and Consents are what this package knows of the token's
	// authorization_details (RFC 9396). Other types are passed over.
	SystemUsers []SystemUserClaim
	Consents    []ConsentClaim
}

// OrganisationID names an organisation in the register of Authority:
// iso6523-actorid-upis (0192:910753614 is Norwegian), or etsi-en-319-412, whose
// ID is the organizationIdentifier of a certificate of any country.
type OrganisationID = struct{ Authority, ID string }

// SystemUserClaim is a systembruker in a token's authorization_details.
type SystemUserClaim struct {
	IDs      []string // systemuser_id: in Altinn
	SystemID string   // system_id: the vendor's system that it uses
	Owner    string   // organisation number of the one whose systembruker it is
}

// ConsentClaim is a consent in a token's authorization_details
// (https://docs.altinn.studio/authorization/guides/validate-consent).
type ConsentClaim struct {
	ID        string    // UUID of the consent request
	From      string    // who gave it, as in [maskinporten.Consent]
	To        string    // organisation number of the one it was given to
	Consented time.Time // when it was given
	ValidTo   time.Time // when it ends, for the one who reads it to check
	Rights    []ConsentRight
}

// ConsentRight is one thing that was consented to.
type ConsentRight struct {
	Actions   []string          // consent, and what else Altinn may define
	Resources []string          // ids in Altinn's resource registry
	Metadata  map[string]string // what the consent is limited to, such as inntektsaar
}

// HasScope reports whether the token grants scope, which is one. Nil claims, as
// [ClaimsFromContext] returns where no token was verified, grant none.
func (c *Claims) HasScope(scope string) bool { return c != nil && slices.Contains(c.Scopes, scope) }

// HasAudience reports whether the token is restricted to audience. A token
// that names no audience is as one for "unspecified"; nil claims are for nobody.
func (c *Claims) HasAudience(audience string) bool {
	if c == nil {
		return false
	}
	return slices.Contains(c.Audience, audience) || len(c.Audience) == 0 && audience == unspecified
}

// unspecified is the audience of a token that is not restricted to one. Digdir
// says that such tokens may in future have none.
const unspecified = "unspecified"

// UnverifiedClaims returns what token says of itself: nobody has checked who
// signed it, whether it has expired or whose it is. It is for looking into
// tokens, never for deciding by them: that is [Verifier.Verify]. The error is
// [ErrTokenInvalid], and does not contain the token.
func UnverifiedClaims(token string) (*Claims, error) {
	claims, err := jws.Unverified(token)
	if err != nil {
		return nil, tokenErrorOf(err)
	}
	return readClaims(claims)
}

// readClaims reads the claims that decide who may do what, and fails if one of
// them cannot be read: to leave out a restriction would be to lift it. Other
// claims are left empty when they are not as expected.
func readClaims(o jws.Object) (*Claims, error) {
	r := reader{Object: o}
	c := &Claims{
		Issuer:     r.text("iss"),
		IssuedAt:   r.time("iat"),
		Expiry:     r.time("exp"),
		Scopes:     scopesOf(r.text("scope")),
		Audience:   r.texts("aud"),
		ConsumerID: r.organisation("consumer"),
		SupplierID: r.organisation("supplier"),
		PID:        r.text("pid"),
	}
	if r.err != nil {
		return nil, tokenErrorOf(r.err)
	}
	c.ID, _ = o.Text("jti")
	c.ClientID, _ = o.Text("client_id")
	c.ClientAMR, _ = o.Text("client_amr")
	c.DelegationSource, _ = o.Text("delegation_source")
	c.Consumer, c.Supplier = orgNumber(c.ConsumerID), orgNumber(c.SupplierID)
	details, _ := o.Array("authorization_details")
	for _, detail := range details {
		if err := c.readDetail(detail); err != nil {
			return nil, tokenErrorOf(err)
		}
	}
	return c, nil
}

// scopesOf splits a scope at its blanks, and at nothing else (RFC 6749 §3.3): to
// other readers a tab does not make two scopes of one.
func scopesOf(scope string) []string {
	return strings.FieldsFunc(scope, func(c rune) bool { return c == ' ' })
}

const (
	systemUserType = "urn:altinn:systemuser"
	consentType    = "urn:altinn:consent"

	consentOrganisation = "urn:altinn:organization:identifier-no:"
)

// readDetail reads an element of authorization_details (RFC 9396). Types and
// shapes that are not known here are passed over: the token is good without.
// The error is for one of a known type that can be read in two ways.
func (c *Claims) readDetail(detail json.RawMessage) error {
	o, err := jws.ParseObject("its authorization_details", detail)
	kind, _ := o.Text("type")
	if err != nil {
		kind = typeOf(detail)
	}
	r := reader{Object: o, err: err}
	switch kind {
	case systemUserType:
		user := SystemUserClaim{IDs: r.texts("systemuser_id"), SystemID: r.text("system_id"), Owner: orgNumber(r.organisation("systemuser_org"))}
		if r.err == nil {
			c.SystemUsers = append(c.SystemUsers, user)
		}
	case consentType:
		consent := ConsentClaim{
			ID: r.text("id"), From: r.text("from"), To: r.recipient("to"),
			Consented: r.timestamp("consented"), ValidTo: r.timestamp("validTo"), Rights: r.rights("consentRights"),
		}
		if r.err == nil {
			c.Consents = append(c.Consents, consent)
		}
	default:
		return nil
	}
	var bad *jws.Error
	if errors.As(r.err, &bad) && bad.Ambiguous {
		return bad
	}
	return nil
}

// typeOf returns the type of a detail that cannot be read with care, as one who
// takes less care reads it.
func typeOf(detail json.RawMessage) string {
	var d struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(detail, &d) // what is no object has no type
	return d.Type
}

// orgNumber returns the Norwegian organisation number in id; empty if there is none.
func orgNumber(id OrganisationID) string {
	number, err := maskinporten.ParseOrgNumber(jws.Organisation(id).Number())
	if err != nil {
		return ""
	}
	return number
}

// reader reads the values of an object, and keeps the first error.
type reader struct {
	jws.Object
	err error
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) text(name string) string {
	s, err := r.Text(name)
	r.keep(err)
	return s
}

func (r *reader) texts(name string) []string {
	all, err := r.Texts(name)
	r.keep(err)
	return all
}

func (r *reader) time(name string) time.Time {
	at, err := r.Time(name)
	r.keep(err)
	return at
}

func (r *reader) organisation(name string) OrganisationID {
	id, err := r.Organisation(name)
	r.keep(err)
	return OrganisationID(id)
}

// timestamp is a date as Altinn writes it (RFC 3339).
func (r *reader) timestamp(name string) time.Time {
	text := r.text(name)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	r.keep(err)
	return at
}

// recipient is an organisation as in consumer, or in the URN that Altinn's
// pages on consent also show.
func (r *reader) recipient(name string) string {
	if urn, err := r.Text(name); err == nil {
		number, ok := strings.CutPrefix(urn, consentOrganisation)
		if !ok {
			return ""
		}
		return orgNumber(OrganisationID{"iso6523-actorid-upis", "0192:" + number})
	}
	return orgNumber(r.organisation(name))
}

// rights reads what was consented to.
func (r *reader) rights(name string) []ConsentRight {
	written, err := r.Objects(name)
	r.keep(err)
	var rights []ConsentRight
	for _, o := range written {
		in := reader{Object: o}
		right := ConsentRight{Actions: in.texts("action"), Metadata: in.limits()}
		resources, err := in.Objects("resource")
		in.keep(err)
		for _, o := range resources {
			value, err := o.Text("value")
			in.keep(err)
			right.Resources = append(right.Resources, value)
		}
		r.keep(in.err)
		rights = append(rights, right)
	}
	return rights
}

// limits reads metadata, which Altinn also writes metaData.
func (r *reader) limits() map[string]string {
	name := "metadata"
	if !r.Has(name) {
		name = "metaData"
	}
	limits, err := r.Map(name)
	r.keep(err)
	return limits
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
	if c.From != "" && !strings.HasPrefix(c.From, consentOrganisation) {
		c.From = redact.Hidden
	}
	return c
}

// String returns the claims as JSON, without persons.
func (c Claims) String() string {
	text, _ := c.MarshalJSON() // cannot fail: strings and times before the year 10000
	return "Claims" + string(text)
}

// Format makes every verb print what String returns.
func (c Claims) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue returns what String does.
func (c *Claims) LogValue() slog.Value {
	if c == nil {
		return slog.Value{}
	}
	return slog.StringValue(c.String())
}

// MarshalJSON hides persons.
func (c Claims) MarshalJSON() ([]byte, error) {
	type plain Claims
	return json.Marshal(plain(c.redacted()))
}

// String returns the consent as JSON, without the person.
func (c ConsentClaim) String() string {
	text, _ := c.MarshalJSON()
	return "ConsentClaim" + string(text)
}

// Format makes every verb print what String returns.
func (c ConsentClaim) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue returns what String does.
func (c *ConsentClaim) LogValue() slog.Value {
	if c == nil {
		return slog.Value{}
	}
	return slog.StringValue(c.String())
}

// MarshalJSON hides a person.
func (c ConsentClaim) MarshalJSON() ([]byte, error) {
	type plain ConsentClaim
	return json.Marshal(plain(c.redacted()))
}
