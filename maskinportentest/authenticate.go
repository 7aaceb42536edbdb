package maskinportentest

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// authenticate finds the key by the header and verifies the signature with it.
func (f *Fake) authenticate(g *Grant, token *jws, client Integration) (amr string, bad *refusal) {
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

func (f *Fake) registeredKey(kid any, client Integration) (*rsa.PublicKey, *refusal) {
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
