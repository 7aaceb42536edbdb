package resourceserver

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/maskinporten-go/maskinporten/internal/jws"
)

// Bounds on a key set. Larger keys, or more of them, would be a way to make
// verifying slow.
const (
	maxKeys    = 100
	maxKeyBits = 8192
	minKeyBits = 2048
)

var errNoKeySet = errors.New("the answer is not a JWK set")

// parseKeys reads a JWK set. A key that this library has no use for is left
// out, and does not spoil the others. A set that is published empty withdraws
// all keys; one with nothing but keys of other kinds is taken for a mistake.
func parseKeys(body []byte) (map[string]*jws.Key, error) {
	set, err := jws.ParseObject("the answer", bytes.TrimPrefix(body, []byte("\ufeff")))
	if err != nil {
		return nil, errNoKeySet
	}
	written, err := set.Array("keys")
	if err != nil || written == nil {
		return nil, errNoKeySet
	}
	if len(written) > maxKeys {
		return nil, fmt.Errorf("the answer holds %d keys: that is no key set of Maskinporten's", len(written))
	}
	byID := make(map[string]*jws.Key)
	for _, jwk := range written {
		kid, key := parseKey(jwk)
		if _, twice := byID[kid]; key != nil && !twice {
			byID[kid] = key
		}
	}
	if len(byID) == 0 && len(written) > 0 {
		return nil, fmt.Errorf("the answer holds no RSA key of %d bits or more that is for signing", minKeyBits)
	}
	return byID, nil
}

// parseKey returns a key that may verify; nil for one of another kind or size,
// or meant for something else (RFC 7517 §4.2 to §4.4).
func parseKey(written []byte) (kid string, key *jws.Key) {
	jwk, err := jws.ParseObject("a key", written)
	if err != nil {
		return "", nil
	}
	r := reader{Object: jwk}
	kty, use, alg, kid := r.text("kty"), r.text("use"), r.text("alg"), r.text("kid")
	modulus, exponent, operations := r.text("n"), r.text("e"), r.texts("key_ops")
	switch {
	case r.err != nil, kty != "RSA", kid == "":
		return "", nil
	case use != "" && use != "sig", operations != nil && !slices.Contains(operations, "verify"):
		return "", nil
	case alg != "" && !jws.KnownAlgorithm(alg):
		return "", nil
	}
	public := publicKey(modulus, exponent)
	if public == nil {
		return "", nil
	}
	return kid, &jws.Key{RSA: public, Alg: alg}
}

// publicKey returns the key of these numbers (RFC 7518 §6.3.1); nil if they
// make none, or one that is too small, too large or slow to verify with.
func publicKey(modulus, exponent string) *rsa.PublicKey {
	base64url := base64.RawURLEncoding.Strict()
	n, err := base64url.DecodeString(modulus)
	if err != nil || len(n) > maxKeyBits/8+1 {
		return nil
	}
	e, err := base64url.DecodeString(exponent)
	if err != nil || len(e) > 4 {
		return nil
	}
	key := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	bits := key.N.BitLen()
	if bits < minKeyBits || bits > maxKeyBits || key.N.Bit(0) == 0 {
		return nil
	}
	if key.E < 3 || key.E > 1<<31-1 || key.E%2 == 0 {
		return nil
	}
	return key
}
