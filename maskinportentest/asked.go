package maskinportentest

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

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
func (f *Fake) readAsked(g *Grant, claims map[string]any, client Integration) (*asked, *refusal) {
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
		notArray := refuse("MP-011", "resource must be an array of strings")
		list, ok := v.([]any)
		if one, isString := v.(string); isString {
			if bad := f.deviation(g, notArray); bad != nil {
				return nil, bad
			}
			list, ok = []any{one}, true
		}
		if !ok || len(list) == 0 {
			return nil, notArray
		}
		for _, v := range list {
			s, _ := v.(string)
			if u, err := url.Parse(s); err != nil || !u.IsAbs() || strings.Contains(s, "#") || !printable(s) {
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

func readConsumer(claims map[string]any, client Integration, a *asked) *refusal {
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

// authorize reports whether the client, its owner and the consumer may have the
// scopes.
func (f *Fake) authorize(a *asked, client Integration) *refusal {
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

// organisationNumber checks nine digits by modulus 11, with weights 3 2 7 6
// 5 4 3 2, as Brønnøysundregistrene assigns them.
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
