package maskinportentest

import (
	"fmt"
	"maps"
	"strings"
)

// TokenShape is how tokens are to differ from those that Maskinporten would
// issue. How long they live is said by [Fake.SetTokenLifetime], by
// [Integration.TokenLifetime] for a client and by [Scope.MaxLifetime] for a
// scope.
type TokenShape struct {
	// ClientID and Scope limit it to tokens of one client, or to those for
	// which this scope was asked, alone or among others; empty means all.
	ClientID, Scope string

	// When limits it further to the grants for which it is true; nil means all.
	When func(Grant) bool

	// Granted is the scope of the token and of the answer, instead of what was
	// asked for.
	Granted string

	// Claims are added to the token's, or put in place of its own. A nil value
	// takes one away.
	Claims map[string]any

	// Opaque has the token be a random word rather than a JWT. [Fake.Guard]
	// and [Fake.Check] know it.
	Opaque bool
}

// ShapeTokens has the tokens issued from now on be shaped so: by each shape
// that applies, in order. It takes the place of what was said before; without
// shapes tokens are again as Maskinporten issues them.
func (f *Fake) ShapeTokens(shapes ...TokenShape) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shapes = shapes
}

// EuropeanConsumer is the consumer claim of a token that a European business got
// with its eSeal (https://docs.digdir.no/docs/Maskinporten/maskinporten_func_european_eseals).
// ID is the organizationIdentifier of its certificate, such as
// NTRSE-5560123456, of which letters four and five are the country.
func EuropeanConsumer(id string) map[string]any {
	if len(id) < 7 {
		panic(fmt.Sprintf("maskinportentest: EuropeanConsumer: %q must be an organizationIdentifier, such as NTRSE-5560123456", id))
	}
	return map[string]any{
		"authority":        sealAuthority,
		"ID":               id,
		"countryName":      id[3:5],
		"organizationName": "TEST BUSINESS " + id,
		"commonName":       "TEST BUSINESS " + id,
	}
}

// shape changes the claims of a token. It reports whether it is to be opaque.
func (f *Fake) shape(g Grant, claims map[string]any) (opaque bool) {
	f.mu.Lock()
	shapes := f.shapes
	f.mu.Unlock()
	asked := " " + text(g.Claims, "scope") + " "
	for _, s := range shapes {
		if s.ClientID != "" && s.ClientID != g.ClientID ||
			s.Scope != "" && !strings.Contains(asked, " "+s.Scope+" ") ||
			s.When != nil && !s.When(g) {
			continue
		}
		if s.Granted != "" {
			claims["scope"] = s.Granted
		}
		maps.Copy(claims, s.Claims)
		opaque = opaque || s.Opaque
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return opaque
}

// opaqueTokens are the tokens that say nothing themselves, and what they stand
// for: the latest 10,000 of them.
type opaqueTokens struct {
	claims map[string]map[string]any
	order  []string
}

const maxOpaque = 10_000

// keepOpaque makes an opaque token that stands for the claims.
func (f *Fake) keepOpaque(claims map[string]any) string {
	read, err := strictObject(marshal(claims)) // as a reader of a JWT would see them
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: %v", err))
	}
	token := randomID() + randomID()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opaque.claims == nil {
		f.opaque.claims = make(map[string]map[string]any)
	}
	if len(f.opaque.order) == maxOpaque {
		delete(f.opaque.claims, f.opaque.order[0])
		f.opaque.order = f.opaque.order[1:]
	}
	f.opaque.claims[token] = read
	f.opaque.order = append(f.opaque.order, token)
	return token
}

func (f *Fake) opaqueClaims(token string) (map[string]any, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	claims, ok := f.opaque.claims[token]
	return claims, ok
}
