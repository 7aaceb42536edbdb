package maskinportentest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// verify checks an access token as an API does, and reads it.
func (f *Fake) verify(token string) (resourceserver.Claims, error) {
	if claims, ok := f.opaqueClaims(token); ok {
		return f.current(claims)
	}
	j, err := parseJWS(token)
	if err != nil {
		return resourceserver.Claims{}, err
	}
	kid, _ := j.header["kid"].(string)
	keys := f.published()
	i := slices.IndexFunc(keys, func(k signingKey) bool { return k.id == kid })
	if i < 0 || j.verify(&keys[i].private.PublicKey) != nil {
		return resourceserver.Claims{}, errors.New("the signature is not Maskinporten's")
	}
	return f.current(j.claims)
}

// current reads the claims of a token, if they are f's and still hold.
func (f *Fake) current(claims map[string]any) (resourceserver.Claims, error) {
	if claims["iss"] != f.env.Issuer {
		return resourceserver.Claims{}, errors.New("the issuer is another")
	}
	if exp, ok := seconds(claims["exp"]); !ok || !f.now().Before(time.Unix(exp, 0)) {
		return resourceserver.Claims{}, errors.New("the token has expired")
	}
	return readClaims(claims), nil
}

func readClaims(m map[string]any) resourceserver.Claims {
	at := func(name string) time.Time {
		n, ok := seconds(m[name])
		if !ok {
			return time.Time{}
		}
		return time.Unix(n, 0)
	}
	number := func(v any) string {
		o, _ := v.(map[string]any)
		var n string
		switch text(o, "authority") {
		case actorAuthority:
			n, _ = strings.CutPrefix(text(o, "ID"), "0192:")
			n, _, _ = strings.Cut(n, ":") // a third part names something within the organisation
		case sealAuthority:
			n, _ = strings.CutPrefix(text(o, "ID"), "NTRNO-")
		}
		if !organisationNumber(n) {
			return "" // a foreign business
		}
		return n
	}
	organisation := func(v any) resourceserver.OrganisationID {
		o, _ := v.(map[string]any)
		return resourceserver.OrganisationID{Authority: text(o, "authority"), ID: text(o, "ID")}
	}
	c := resourceserver.Claims{
		Issuer:           text(m, "iss"),
		ID:               text(m, "jti"),
		IssuedAt:         at("iat"),
		Expiry:           at("exp"),
		Scopes:           strings.Fields(text(m, "scope")),
		Audience:         texts(m["aud"]),
		ClientID:         text(m, "client_id"),
		ClientAMR:        text(m, "client_amr"),
		Consumer:         number(m["consumer"]),
		ConsumerID:       organisation(m["consumer"]),
		Supplier:         number(m["supplier"]),
		SupplierID:       organisation(m["supplier"]),
		DelegationSource: text(m, "delegation_source"),
		PID:              text(m, "pid"),
	}
	details, _ := m["authorization_details"].([]any)
	for _, d := range details {
		d, _ := d.(map[string]any)
		switch d["type"] {
		case systemUserType:
			c.SystemUsers = append(c.SystemUsers, resourceserver.SystemUserClaim{
				IDs: texts(d["systemuser_id"]), SystemID: text(d, "system_id"), Owner: number(d["systemuser_org"]),
			})
		case consentType:
			consented, _ := time.Parse(time.RFC3339, text(d, "consented"))
			validTo, _ := time.Parse(time.RFC3339, text(d, "validTo"))
			c.Consents = append(c.Consents, resourceserver.ConsentClaim{
				ID: text(d, "id"), From: text(d, "from"), To: number(d["to"]),
				Consented: consented, ValidTo: validTo, Rights: readRights(d["consentRights"]),
			})
		}
	}
	return c
}

// texts reads a string or an array of them.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, s := range v {
			if s, ok := s.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

func text(m map[string]any, name string) string {
	s, _ := m[name].(string)
	return s
}

func readRights(v any) []resourceserver.ConsentRight {
	var rights []resourceserver.ConsentRight
	list, _ := v.([]any)
	for _, v := range list {
		right, _ := v.(map[string]any)
		r := resourceserver.ConsentRight{Actions: texts(right["action"])}
		resources, _ := right["resource"].([]any)
		for _, v := range resources {
			resource, _ := v.(map[string]any)
			r.Resources = append(r.Resources, text(resource, "value"))
		}
		metadata, _ := right["metadata"].(map[string]any)
		for name := range metadata {
			if r.Metadata == nil {
				r.Metadata = make(map[string]string)
			}
			r.Metadata[name] = text(metadata, name)
		}
		rights = append(rights, r)
	}
	return rights
}
