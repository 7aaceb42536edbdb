package jws

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of RS256,
	_ "crypto/sha512" // RS384 and RS512
	"encoding/json"
	"io"

	"github.com/golang-jwt/jwt/v5"
)

// Header names the key that signs: by KeyID, under which it is registered, or
// by Chain, its certificates in base64 of DER, leaf first. One of them is set.
type Header struct {
	KeyID string
	Chain []string
}

// Sign returns a token of claims, which must marshal to a JSON object. It is
// signed with RS256 by signer, whose public key is RSA: the key may live in an
// HSM or a cloud KMS.
func Sign(signer crypto.Signer, h Header, claims any) (string, error) {
	token := jwt.NewWithClaims(rs256, payload{claims: claims})
	delete(token.Header, "typ") // Digdir's page lists alg, and kid or x5c
	if h.KeyID != "" {
		token.Header["kid"] = h.KeyID
	} else {
		token.Header["x5c"] = h.Chain
	}
	return token.SignedString(signer)
}

// payload takes claims of any type through jwt, which asks of claims to be
// signed only that they marshal. Their order is their type's, and aud is what
// it is there: jwt's own types leave that to a variable that any package of
// the program may change.
type payload struct {
	jwt.MapClaims
	claims any
}

func (p payload) MarshalJSON() ([]byte, error) { return json.Marshal(p.claims) }

// method is RSASSA-PKCS1-v1_5 (RFC 7518 §3.3). Unlike jwt's own it signs with
// any crypto.Signer.
type method struct {
	name string
	hash crypto.Hash
}

var _ jwt.SigningMethod = (*method)(nil)

var rs256 = &method{"RS256", crypto.SHA256}

// methods is the algorithms that Maskinporten signs with. PSS, HMAC (whose
// secret would be the public key) and none are not among them.
var methods = map[string]*method{
	"RS256": rs256,
	"RS384": {"RS384", crypto.SHA384},
	"RS512": {"RS512", crypto.SHA512},
}

// Alg returns the name of the algorithm in a header.
func (m *method) Alg() string { return m.name }

// Sign signs with key, which must be a crypto.Signer.
func (m *method) Sign(signed string, key any) ([]byte, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, jwt.ErrInvalidKeyType
	}
	return signer.Sign(rand.Reader, m.digest(signed), m.hash)
}

// Verify checks a signature with key, which must be an *rsa.PublicKey.
func (m *method) Verify(signed string, signature []byte, key any) error {
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return jwt.ErrInvalidKeyType
	}
	return rsa.VerifyPKCS1v15(public, m.hash, m.digest(signed), signature)
}

func (m *method) digest(signed string) []byte {
	hash := m.hash.New()
	io.WriteString(hash, signed)
	return hash.Sum(nil)
}
