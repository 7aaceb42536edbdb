package keystore

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// maxJWK bounds what is parsed; a key of 4096 bits comes to 3.5 kB.
const maxJWK = 64 << 10

// jwk is a private key in a JSON Web Key (RFC 7517; RFC 7518, section 6.3).
type jwk struct {
	Kty string    `json:"kty"`
	Kid string    `json:"kid"`
	N   base64URL `json:"n"`
	E   base64URL `json:"e"`
	D   base64URL `json:"d"`
	P   base64URL `json:"p"`
	Q   base64URL `json:"q"`
}

// JWK reads a private RSA key from a JWK (RFC 7517): as it is, as base64, or in
// a set with no other key. Its kid is the key's id, and may be empty.
func JWK(data []byte) (*Key, error) {
	if len(data) > maxJWK {
		return nil, fmt.Errorf("%w: the JWK is over 64 KiB", ErrNotKeystore)
	}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if len(data) == 0 || data[0] != '{' {
		// What is in it stays out of the error: it may be the key all the same.
		decoded, err := decodeBase64(string(data))
		if err != nil || len(decoded) == 0 {
			return nil, fmt.Errorf("%w: the JWK is neither JSON nor base64 of it", ErrNotKeystore)
		}
		data = decoded
	}
	var set struct {
		jwk
		Keys []jwk `json:"keys"`
	}
	if json.Unmarshal(data, &set) != nil {
		return nil, fmt.Errorf("%w: the JWK is not valid JSON, or a number in it not base64url", ErrNotKeystore)
	}
	key := set.jwk
	switch {
	case len(set.Keys) == 1:
		key = set.Keys[0]
	case len(set.Keys) > 1:
		var kids []string
		for _, k := range set.Keys[:min(len(set.Keys), 10)] {
			kids = append(kids, quoted(k.Kid))
		}
		return nil, fmt.Errorf("%w: the JWK set has %d keys (%s): give the one that is registered on the client", ErrAmbiguousKey, len(set.Keys), strings.Join(kids, ", "))
	}
	private, err := key.private()
	if err != nil {
		return nil, err
	}
	return NewRegistered(private, key.Kid)
}

func (k *jwk) private() (*rsa.PrivateKey, error) {
	switch {
	case k.Kty == "":
		return nil, fmt.Errorf("%w: the JSON is no JWK, for it has no kty", ErrNotKeystore)
	case k.Kty != "RSA":
		return nil, fmt.Errorf("%w: the JWK's kty is %s, and Maskinporten takes RSA only", ErrUnusableKey, quoted(k.Kty))
	case len(k.D) == 0:
		return nil, fmt.Errorf("%w: the JWK holds only the public key", ErrNoKey)
	case len(k.P) == 0 || len(k.Q) == 0:
		return nil, fmt.Errorf("%w: the JWK lacks the primes p and q: export it with them", ErrUnusableKey)
	}
	damaged := fmt.Errorf("%w: the numbers of the JWK do not make a key", ErrUnusableKey)
	for _, number := range []base64URL{k.N, k.D, k.P, k.Q} {
		if len(number) > maxRSABits/8 {
			return nil, damaged
		}
	}
	e := k.E.int()
	if !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
		return nil, damaged
	}
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: k.N.int(), E: int(e.Int64())},
		D:         k.D.int(),
		Primes:    []*big.Int{k.P.int(), k.Q.int()},
	}
	if key.N.Sign() == 0 || key.Validate() != nil {
		return nil, damaged
	}
	key.Precompute()
	return key, nil
}

type base64URL []byte

func (b *base64URL) UnmarshalText(text []byte) error {
	raw, err := decodeBase64(string(text))
	*b = raw
	return err
}

func (b base64URL) int() *big.Int { return new(big.Int).SetBytes(b) }

// decodeBase64 takes either alphabet, with or without padding and line breaks.
func decodeBase64(s string) ([]byte, error) {
	s = strings.NewReplacer("+", "-", "/", "_", "=", "", "\r", "", "\n", "").Replace(s)
	return base64.RawURLEncoding.DecodeString(s)
}
