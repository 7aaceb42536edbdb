package maskinporten

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
)

// LoadJWK reads a private RSA key with its kid from a JWK (RFC 7517), as NAIS
// injects it in MASKINPORTEN_CLIENT_JWK.
func LoadJWK(data []byte) (*Credential, error) {
	var raw struct {
		Kty string    `json:"kty"`
		Kid string    `json:"kid"`
		N   base64URL `json:"n"`
		E   base64URL `json:"e"`
		D   base64URL `json:"d"`
		P   base64URL `json:"p"`
		Q   base64URL `json:"q"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, errors.New("maskinporten: the JWK is not valid JSON")
	}
	if raw.Kty != "RSA" {
		return nil, fmt.Errorf("%w: the JWK's kty is %q, and Maskinporten takes RSA only", ErrUnusableKey, clean(raw.Kty, 20))
	}
	if len(raw.D) == 0 {
		return nil, fmt.Errorf("%w: the JWK holds only the public key", ErrNoKey)
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: raw.N.int(), E: int(raw.E.int().Int64())},
		D:         raw.D.int(),
		Primes:    []*big.Int{raw.P.int(), raw.Q.int()},
	}
	if err := key.Validate(); err != nil {
		return nil, fmt.Errorf("%w: the numbers of the JWK do not make a key", ErrUnusableKey)
	}
	key.Precompute()
	return NewKeyCredential(key, raw.Kid)
}

type base64URL []byte

func (b *base64URL) UnmarshalText(text []byte) error {
	raw, err := base64.RawURLEncoding.DecodeString(string(text))
	*b = raw
	return err
}

func (b base64URL) int() *big.Int { return new(big.Int).SetBytes(b) }
