package maskinportentest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// The authorization_details (RFC 9396) that Maskinporten takes for Altinn.
const (
	systemUserType = "urn:altinn:systemuser"
	consentType    = "urn:altinn:consent"

	consentPerson       = "urn:altinn:person:identifier-no:"
	consentOrganisation = "urn:altinn:organization:identifier-no:"
)

// readDetails checks the authorization_details of a grant and makes those of
// the token.
func (f *Fake) readDetails(v any, client Integration, consumer string) ([]map[string]any, *refusal) {
	list, ok := v.([]any)
	if !ok || len(list) != 1 {
		return nil, refuse("MP-303", "authorization_details must be an array with one object: one party a request")
	}
	detail, ok := list[0].(map[string]any)
	if !ok {
		return nil, refuse("MP-303", "authorization_details must hold an object")
	}
	var (
		out map[string]any
		bad *refusal
	)
	switch detail["type"] {
	case systemUserType:
		out, bad = f.readSystemUser(detail, client)
	case consentType:
		out, bad = f.readConsent(detail, consumer)
	default:
		bad = refuse("MP-301", fmt.Sprintf("The type must be %s or %s", systemUserType, consentType))
	}
	return []map[string]any{out}, bad
}

func (f *Fake) readSystemUser(detail map[string]any, client Integration) (map[string]any, *refusal) {
	if bad := onlyFields(detail, "type", "systemuser_org", "externalRef"); bad != nil {
		return nil, bad
	}
	owner, ok := detail["systemuser_org"].(map[string]any)
	if !ok {
		return nil, refuse("MP-303", "systemuser_org must be an object with authority and ID")
	}
	if bad := onlyFields(owner, "authority", "ID"); bad != nil {
		return nil, bad
	}
	if owner["authority"] != actorAuthority {
		return nil, refuse("MP-303", "The authority must be "+actorAuthority)
	}
	id, _ := owner["ID"].(string)
	number, ok := strings.CutPrefix(id, "0192:")
	if !ok || !organisationNumber(number) {
		return nil, refuse("MP-303", "The ID must be 0192: and an organisation number")
	}
	externalRef := ""
	if v, present := detail["externalRef"]; present {
		if externalRef, ok = v.(string); !ok || !validReference(externalRef) {
			return nil, refuse("MP-303", "externalRef must be at most 255 letters, digits, _ and -")
		}
	}
	user, ok := f.systemUser(number, externalRef, client.ID)
	if !ok {
		bad := refuse("MP-303", "No systembruker of "+number+" for this client and externalRef")
		bad.code = "invalid_altinn_customer_configuration"
		return nil, bad
	}
	if user.ID == "" {
		user.ID = uuidOf(number, externalRef)
	}
	if user.SystemID == "" {
		user.SystemID = client.OrgNumber + "_system"
	}
	return systemUserDetail([]string{user.ID}, user.SystemID, number, externalRef), nil
}

func (f *Fake) readConsent(detail map[string]any, consumer string) (map[string]any, *refusal) {
	if bad := onlyFields(detail, "type", "id", "from"); bad != nil {
		return nil, bad
	}
	id, _ := detail["id"].(string)
	if !isUUID(id) {
		return nil, refuse("MP-303", "id must be the UUID of a consent request")
	}
	from, _ := detail["from"].(string)
	person, isPerson := strings.CutPrefix(from, consentPerson)
	number, isOrganisation := strings.CutPrefix(from, consentOrganisation)
	if !(isPerson && digits(person, 11) || isOrganisation && organisationNumber(number)) {
		return nil, refuse("MP-303", "from must be "+consentPerson+"<11 digits> or "+consentOrganisation+"<organisation number>")
	}
	c, ok := f.consent(id, from, consumer, f.now())
	if !ok {
		return nil, refuse("MP-303", "No valid consent with this id, from this party to "+consumer)
	}
	return consentDetail(c), nil
}

func systemUserDetail(ids []string, systemID, owner, externalRef string) map[string]any {
	detail := map[string]any{
		"type":           systemUserType,
		"systemuser_id":  ids,
		"systemuser_org": organisation(owner),
		"system_id":      systemID,
	}
	if externalRef != "" {
		detail["externalRef"] = externalRef
	}
	return detail
}

func consentDetail(c resourceserver.ConsentClaim) map[string]any {
	rights := []map[string]any{}
	for _, r := range c.Rights {
		resources := []map[string]string{}
		for _, id := range r.Resources {
			resources = append(resources, map[string]string{"type": "urn:altinn:resource", "value": id})
		}
		right := map[string]any{"action": r.Actions, "resource": resources}
		if r.Metadata != nil {
			right["metadata"] = r.Metadata
		}
		rights = append(rights, right)
	}
	const layout = "2006-01-02T15:04:05.999999-07:00" // UTC as +00:00, as Altinn writes it
	return map[string]any{
		"type":          consentType,
		"id":            c.ID,
		"from":          c.From,
		"to":            organisation(string(c.To)),
		"consented":     c.Consented.UTC().Format(layout),
		"validTo":       c.ValidTo.UTC().Format(layout),
		"consentRights": rights,
	}
}

// onlyFields refuses what is not documented. Of several such fields it names
// the first by the alphabet.
func onlyFields(object map[string]any, names ...string) *refusal {
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(names, name) {
			return refuse("MP-302", "Field "+name)
		}
	}
	return nil
}

func validReference(s string) bool {
	return utf8.RuneCountInString(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune("øØæÆåÅ_-", r))
	})
}

func isUUID(s string) bool {
	groups := strings.Split(s, "-")
	if len(groups) != 5 {
		return false
	}
	for i, n := range []int{8, 4, 4, 4, 12} {
		if len(groups[i]) != n || strings.Trim(groups[i], "0123456789abcdefABCDEF") != "" {
			return false
		}
	}
	return true
}

// uuidOf is a UUID that is always the same for the same words.
func uuidOf(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	s := hex.EncodeToString(sum[:16])
	return s[:8] + "-" + s[8:12] + "-4" + s[13:16] + "-8" + s[17:20] + "-" + s[20:]
}
