package keystore

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"reflect"

	"github.com/maskinporten-go/maskinporten/internal/p12"
)

// otherKey is a private key of a kind that Go does not know, by its name. It is
// passed over beside one that can sign.
type otherKey string

// kinds are the algorithms of PKCS#8 keys that crypto/x509 does not parse.
var kinds = map[string]string{
	"1.2.840.113549.1.1.10": "an RSA-PSS key",
	"1.2.840.113549.1.1.7":  "an RSA-OAEP key",
	"1.2.840.10040.4.1":     "a DSA key",
	"1.2.840.113549.1.3.1":  "a Diffie-Hellman key",
	"1.2.840.10046.2.1":     "a Diffie-Hellman key",
	"1.2.840.10045.2.1":     "an elliptic curve key of a curve that Go does not know",
	"1.3.101.111":           "an X448 key",
	"1.3.101.113":           "an Ed448 key",
}

var errDamagedKey = errors.New("the key is damaged: its numbers do not belong together")

// parsePrivateKey parses PKCS#8, PKCS#1 or SEC 1 by what der holds; a label
// around it is wrong often enough. What a key costs is paid before.
func parsePrivateKey(der []byte, budget *p12.Budget) (crypto.PrivateKey, error) {
	if len(der) > p12.MaxKey {
		return nil, fmt.Errorf("the key has %d bytes, and %d are the most", len(der), p12.MaxKey)
	}
	inner, algorithm := der, ""
	if outer := elements(der); len(outer) == 1 {
		parts := elements(outer[0].Bytes)
		if len(parts) >= 3 && parts[1].Tag == asn1.TagSequence && parts[2].Tag == asn1.TagOctetString {
			inner = parts[2].Bytes
			var oid asn1.ObjectIdentifier
			if alg := elements(parts[1].Bytes); len(alg) > 0 && unmarshals(alg[0], &oid) {
				algorithm = oid.String()
			}
		}
		if algorithm == "" && len(parts) == 6 && parts[0].Tag == asn1.TagInteger && parts[5].Tag == asn1.TagInteger {
			return otherKey("a DSA key"), nil // OpenSSL's own form
		}
	}
	if err := payForRSA(inner, budget); err != nil {
		return nil, err
	}
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if name, ok := kinds[algorithm]; ok {
		return otherKey(name), nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	if outer := elements(der); algorithm == "" && len(outer) == 1 {
		if parts := elements(outer[0].Bytes); len(parts) >= 2 && parts[0].Tag == asn1.TagInteger && parts[1].Tag == asn1.TagOctetString {
			return otherKey(kinds["1.2.840.10045.2.1"]), nil
		}
	}
	return nil, errDamagedKey
}

// payForRSA looks at the numbers of an RSA key (RFC 8017, appendix A.1.2) before
// crypto/rsa computes with them, which takes seconds if they are made for it.
// What is no such key costs nothing.
func payForRSA(pkcs1 []byte, budget *p12.Budget) error {
	outer := elements(pkcs1)
	if len(outer) != 1 {
		return nil
	}
	var numbers []*big.Int
	for _, element := range elements(outer[0].Bytes) {
		if element.Tag != asn1.TagInteger {
			break
		}
		if len(element.Bytes) > maxRSABits/8+1 {
			return errDamagedKey
		}
		numbers = append(numbers, new(big.Int).SetBytes(element.Bytes))
	}
	if len(numbers) < 6 { // the version, n, e, d, p, q
		return nil
	}
	n, p, q := numbers[1], numbers[4], numbers[5]
	if numbers[0].Sign() == 0 && new(big.Int).Mul(p, q).Cmp(n) != 0 {
		return errDamagedKey
	}
	if len(numbers) < 9 && !budget.PayKey(max(p.BitLen(), q.BitLen())) {
		return errChecks
	}
	return nil
}

// checkKey reports why Maskinporten would not take what a signer signs.
func checkKey(signer crypto.Signer) error {
	if v := reflect.ValueOf(signer); signer == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Errorf("%w: the signer is nil", ErrNoKey)
	}
	public, ok := signer.Public().(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: it is an %s, and Maskinporten takes RSA only: order a certificate with an RSA key", ErrUnusableKey, kindOf(signer.Public()))
	}
	if public == nil || public.N == nil {
		return fmt.Errorf("%w: the key is empty", ErrNoKey)
	}
	switch bits := public.N.BitLen(); {
	case bits < 2048:
		return fmt.Errorf("%w: it has %d bits, and Maskinporten takes 2048 at least", ErrUnusableKey, bits)
	case bits > maxRSABits:
		return fmt.Errorf("%w: it has %d bits, and %d are the most", ErrUnusableKey, bits, maxRSABits)
	}
	return nil
}
