package maskinportentest

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// authenticate finds the key by the header and verifies the signature with it.
func (f *Fake) authenticate(g *Grant, token *jws, client Integration) (amr string, bad *refusal) {
	if bad := f.checkHeader(g, token); bad != nil {
		return "", bad
	}
	x5c, hasChain := token.header["x5c"]
	kid, hasKey := token.header["kid"]
	var key *rsa.PublicKey
	switch {
	case hasChain && hasKey:
		return "", invalidAssertion("The header must hold exactly one of x5c and kid")
	case hasKey:
		amr = "private_key_jwt"
		key, bad = f.registeredKey(kid, client)
	case len(client.Keys) > 0:
		return "", unauthenticated("Client requires pre-registered jwk and no key identifier (kid) provided")
	case hasChain:
		amr = "virksomhetssertifikat"
		key, bad = f.certifiedKey(g, x5c)
	default:
		return "", invalidAssertion("The header must hold exactly one of x5c and kid")
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

func (f *Fake) checkHeader(g *Grant, token *jws) *refusal {
	if _, present := token.header["crit"]; present {
		return invalidAssertion("Unknown header crit") // RFC 7515 §4.1.11: never let pass
	}
	for _, name := range slices.Sorted(maps.Keys(token.header)) {
		if !slices.Contains([]string{"alg", "typ", "x5c", "kid"}, name) {
			if bad := f.deviation(g, invalidAssertion("Unknown header "+name)); bad != nil {
				return bad
			}
		}
	}
	if _, ok := algorithms[g.Algorithm]; !ok {
		return invalidAssertion("alg must be RS256, RS384 or RS512")
	}
	if typ, present := token.header["typ"]; present && typ != "JWT" {
		return f.deviation(g, invalidAssertion("typ, if present, must be JWT"))
	}
	return nil
}

func (f *Fake) registeredKey(kid any, client Integration) (*rsa.PublicKey, *refusal) {
	id, ok := kid.(string)
	if !ok {
		return nil, invalidAssertion("kid must be a string")
	}
	i := slices.IndexFunc(client.Keys, func(k Key) bool { return k.ID == id })
	if i < 0 {
		return nil, unauthenticated("Unknown key identifier (kid) for client")
	}
	if client.Keys[i].expired(f.now()) {
		return nil, refuse("MP-121", "")
	}
	return client.Keys[i].Public, nil
}

func (f *Fake) certifiedKey(g *Grant, x5c any) (*rsa.PublicKey, *refusal) {
	chain, bad := f.readChain(g, x5c)
	if bad == nil {
		bad = f.checkChain(g, chain)
	}
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

// organisationOf is the organisation number in a certificate, SEID 2 or SEID 1.
func organisationOf(c *x509.Certificate) string {
	for _, name := range c.Subject.Names {
		if value, ok := name.Value.(string); ok && name.Type.Equal(oidOrganizationIdentifier) {
			return strings.TrimPrefix(value, "NTRNO-")
		}
	}
	return c.Subject.SerialNumber
}
