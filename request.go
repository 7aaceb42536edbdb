package maskinporten

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Request says what a token is for. The zero value of a field leaves its
// claim out of the grant; Scope is required. It is comparable, and two
// Requests that ask for the same are the same cache key, whatever the order of
// their scopes.
//
// The claims are those of
// https://docs.digdir.no/docs/Maskinporten/maskinporten_protocol_jwtgrant.
// Printed or logged, a Request does not show the person it is about; only from
// an unexported field of another struct does package fmt print it as it is.
type Request struct {
	// Scope is one scope, or several separated by spaces, in any order.
	// Digdir advises one scope per token.
	Scope string

	// ConsumerOrg is the organisation number of the customer on whose behalf
	// a supplier asks, once the customer has delegated the scope to it in
	// Altinn (delegering). Leave it empty to act for the client's own
	// organisation: Maskinporten refuses a client that names its own.
	ConsumerOrg string

	// Resource restricts the token to one API (RFC 8707), given as the
	// absolute URI that the API's owner states. Leave it empty for
	// Skatteetaten: its APIs refuse a restricted token.
	Resource string

	// PID is the eleven-digit national identity number of the person that the
	// token is restricted to, for the few APIs that ask for it.
	PID string

	// OnBehalfOf is the id of a customer registered on the client.
	//
	// Deprecated: Digdir will remove iss_onbehalfof; use ConsumerOrg.
	OnBehalfOf string

	// SystemUser asks for a token as an Altinn systembruker: a system that
	// the customer has given rights of its own.
	SystemUser SystemUser

	// Consent asks for a token by a consent given in Altinn (samtykke).
	Consent Consent
}

// SystemUser names the organisation that owns a systembruker in Altinn.
type SystemUser struct {
	// OrgNumber is the organisation whose systembruker is used.
	OrgNumber string

	// ExternalRef tells apart several systembrukere of that organisation: at
	// most 255 letters, digits, _ and -. Usually empty.
	ExternalRef string
}

// Consent names a consent in Altinn.
type Consent struct {
	// ID is the UUID of the consent request.
	ID string

	// From is who gave it: urn:altinn:person:identifier-no:<11 digits> or
	// urn:altinn:organization:identifier-no:<organisation number>.
	From string
}

const (
	consentPerson       = "urn:altinn:person:identifier-no:"
	consentOrganisation = "urn:altinn:organization:identifier-no:"
)

// Validate returns a *[FieldError] that says what Maskinporten would refuse in
// r, and nil for a good Request. Every function that takes a Request calls it
// before anything is sent.
func (r Request) Validate() error {
	if err := checkScope(r.Scope); err != nil {
		return err
	}
	if err := checkOrgNumber("Request.ConsumerOrg", r.ConsumerOrg); err != nil {
		return err
	}
	if r.ConsumerOrg != "" && r.OnBehalfOf != "" {
		return invalid("Request.OnBehalfOf", "cannot stand together with ConsumerOrg: use ConsumerOrg alone, which replaces it")
	}
	if !visibleASCII(r.OnBehalfOf) {
		return invalid("Request.OnBehalfOf", "holds a space, a control character or a character outside ASCII: give the id as it is registered on the client")
	}
	if r.Resource != "" {
		u, err := url.Parse(r.Resource)
		if err != nil || !visibleASCII(r.Resource) || !u.IsAbs() || strings.Contains(r.Resource, "#") {
			return invalid("Request.Resource", "is not an absolute URI without a fragment (RFC 8707): give the one that the API's owner states"+whiteSpaceHint(r.Resource))
		}
	}
	if r.PID != "" && !digits(r.PID, 11) {
		return invalid("Request.PID", "is not eleven digits: give the national identity number without spaces")
	}
	if err := r.SystemUser.validate(); err != nil {
		return err
	}
	if err := r.Consent.validate(); err != nil {
		return err
	}
	if r.SystemUser != (SystemUser{}) && r.Consent != (Consent{}) {
		return invalid("Request.Consent", "cannot stand together with SystemUser: a grant takes authorization_details of one party")
	}
	return nil
}

// checkOwner refuses a consumer that is the certificate's own organisation,
// as Maskinporten does.
func (r *Request) checkOwner(c *Credential) error {
	if r.ConsumerOrg != "" && r.ConsumerOrg == c.OrgNumber() {
		return invalid("Request.ConsumerOrg", r.ConsumerOrg+" is the organisation of the certificate itself: leave ConsumerOrg empty to act for your own organisation")
	}
	return nil
}

func (s SystemUser) validate() error {
	if s == (SystemUser{}) {
		return nil
	}
	if s.OrgNumber == "" {
		return invalid("Request.SystemUser.OrgNumber", "is missing, but ExternalRef is set: give the organisation number of the systembruker's owner")
	}
	if err := checkOrgNumber("Request.SystemUser.OrgNumber", s.OrgNumber); err != nil {
		return err
	}
	if len([]rune(s.ExternalRef)) > 255 || strings.ContainsFunc(s.ExternalRef, func(c rune) bool {
		return !alphanumeric(c) && !strings.ContainsRune("øØæÆåÅ_-", c)
	}) {
		return invalid("Request.SystemUser.ExternalRef", "must be at most 255 letters, digits, _ and -")
	}
	return nil
}

func (c Consent) validate() error {
	if c == (Consent{}) {
		return nil
	}
	if !isUUID(c.ID) {
		return invalid("Request.Consent.ID", "is not a UUID: give the id of the consent request"+whiteSpaceHint(c.ID))
	}
	if pid, ok := strings.CutPrefix(c.From, consentPerson); ok && digits(pid, 11) {
		return nil
	}
	if org, ok := strings.CutPrefix(c.From, consentOrganisation); ok && org != "" {
		return checkOrgNumber("Request.Consent.From", org)
	}
	return invalid("Request.Consent.From", "must be "+consentPerson+"<11 digits> or "+consentOrganisation+"<organisation number>")
}

// checkScope holds a scope to RFC 6749 §3.3. A line break from a
// configuration file is Maskinporten's MP-011.
func checkScope(scope string) error {
	if strings.Trim(scope, " ") == "" {
		return invalid("Request.Scope", "is missing: give the scope that the API's owner granted, for instance skatteetaten:inntekt")
	}
	if strings.Contains(scope, ",") {
		return invalid("Request.Scope", "holds a comma: separate scopes by spaces")
	}
	for _, c := range scope {
		if c != ' ' && (c <= ' ' || c > '~' || c == '"' || c == '\\') {
			return invalid("Request.Scope", fmt.Sprintf("holds the character %q: separate scopes by single spaces and look for stray line breaks", c))
		}
	}
	return nil
}

func checkOrgNumber(field, number string) error {
	if number == "" {
		return nil
	}
	if _, err := ParseOrgNumber(number); err != nil || !digits(number, 9) {
		return invalid(field, maskNumber(number)+" is not an organisation number: give nine digits that pass the modulus 11 check (ParseOrgNumber reads other ways to write it)"+whiteSpaceHint(number))
	}
	return nil
}

// normalized is r with its scopes sorted, each once: what the cache and the
// grant go by.
func (r Request) normalized() Request {
	if strings.Contains(r.Scope, " ") {
		words := strings.Fields(r.Scope)
		slices.Sort(words)
		r.Scope = strings.Join(slices.Compact(words), " ")
	}
	return r
}

// redacted shows that there is a person, not who.
func (r Request) redacted() Request {
	if r.PID != "" {
		r.PID = redact.Hidden
	}
	if strings.HasPrefix(r.Consent.From, consentOrganisation) || r.Consent.From == "" {
		return r
	}
	r.Consent.From = redact.Hidden
	return r
}

// persons is the national identity numbers in r.
func (r Request) persons() []string {
	var persons []string
	if r.PID != "" {
		persons = append(persons, r.PID)
	}
	if pid, ok := strings.CutPrefix(r.Consent.From, consentPerson); ok && pid != "" {
		persons = append(persons, pid)
	}
	return persons
}

// String names what is set, and hides a person.
func (r Request) String() string {
	r = r.redacted()
	var b strings.Builder
	b.WriteString("Request{")
	for _, f := range r.fields() {
		if b.Len() > len("Request{") {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %q", f.Key, f.Value)
	}
	b.WriteString("}")
	return b.String()
}

// Format makes every verb print what String does.
func (r Request) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }

// LogValue is a group of what is set, and hides a person.
func (r Request) LogValue() slog.Value { return slog.GroupValue(r.redacted().fields()...) }

// MarshalJSON hides a person, as every other way to print a Request.
func (r Request) MarshalJSON() ([]byte, error) {
	type plain Request
	return json.Marshal(plain(r.redacted()))
}

// String hides a person.
func (c Consent) String() string {
	c = Request{Consent: c}.redacted().Consent
	return fmt.Sprintf("Consent{ID: %q, From: %q}", c.ID, c.From)
}

// Format makes every verb print what String does.
func (c Consent) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue hides a person.
func (c *Consent) LogValue() slog.Value {
	if c == nil {
		return slog.Value{}
	}
	return slog.StringValue(c.String())
}

// MarshalJSON hides a person.
func (c Consent) MarshalJSON() ([]byte, error) {
	type plain Consent
	return json.Marshal(plain(Request{Consent: c}.redacted().Consent))
}

func (r Request) fields() []slog.Attr {
	all := []slog.Attr{
		slog.String("Scope", r.Scope),
		slog.String("ConsumerOrg", r.ConsumerOrg),
		slog.String("Resource", r.Resource),
		slog.String("PID", r.PID),
		slog.String("OnBehalfOf", r.OnBehalfOf),
		slog.String("SystemUser.OrgNumber", r.SystemUser.OrgNumber),
		slog.String("SystemUser.ExternalRef", r.SystemUser.ExternalRef),
		slog.String("Consent.ID", r.Consent.ID),
		slog.String("Consent.From", r.Consent.From),
	}
	return slices.DeleteFunc(all, func(a slog.Attr) bool { return a.Value.String() == "" })
}

func alphanumeric(c rune) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func visibleASCII(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
				return false
			}
		}
	}
	return true
}

// hashOf is the same for scopes in any order.
func hashOf(seed maphash.Seed, r *Request) uint64 {
	var h uint64
	for scope, more := r.Scope, true; more; {
		var word string
		if i := strings.IndexByte(scope, ' '); i >= 0 {
			word, scope = scope[:i], scope[i+1:]
		} else {
			word, more = scope, false
		}
		h += maphash.String(seed, word)
	}
	if r.scopeOnly() {
		return h
	}
	for i, field := range [...]*string{
		&r.ConsumerOrg, &r.Resource, &r.PID, &r.OnBehalfOf,
		&r.SystemUser.OrgNumber, &r.SystemUser.ExternalRef, &r.Consent.ID, &r.Consent.From,
	} {
		if *field != "" {
			h = (h + uint64(i) + 1) * 0x9e3779b97f4a7c15 // 2^64/φ: the fields must not be exchangeable
			h ^= maphash.String(seed, *field)
		}
	}
	return h
}

// scopeOnly reports whether no field but Scope is set: the usual case, found
// without comparing eight strings.
func (r *Request) scopeOnly() bool {
	return len(r.ConsumerOrg)|len(r.Resource)|len(r.PID)|len(r.OnBehalfOf)|
		len(r.SystemUser.OrgNumber)|len(r.SystemUser.ExternalRef)|len(r.Consent.ID)|len(r.Consent.From) == 0
}

// same reports whether r, as a caller wrote it, asks for what the key k does.
func (k *Request) same(r *Request) bool {
	if k.scopeOnly() && r.scopeOnly() {
		return sameScopes(k.Scope, r.Scope)
	}
	return k.ConsumerOrg == r.ConsumerOrg && k.Resource == r.Resource && k.PID == r.PID &&
		k.OnBehalfOf == r.OnBehalfOf && k.SystemUser == r.SystemUser && k.Consent == r.Consent &&
		sameScopes(k.Scope, r.Scope)
}

func sameScopes(a, b string) bool {
	return a == b || len(a) == len(b) && holdsAll(a, b) && holdsAll(b, a)
}

// holdsAll reports whether each word of b is a word of a.
func holdsAll(a, b string) bool {
	for word := range strings.SplitSeq(b, " ") {
		if !holdsWord(a, word) {
			return false
		}
	}
	return true
}

func holdsWord(a, word string) bool {
	for w := range strings.SplitSeq(a, " ") {
		if w == word {
			return true
		}
	}
	return false
}
