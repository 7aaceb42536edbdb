// Package keystore makes a private key and its certificate chain of what people
// have: PKCS#12, PEM and JWK, in memory or in files that change.
//
//	PKCS#12 ──► internal/p12 ─┐
//	PEM ──────────────────────┼─► keys, certificates ──► the key that can sign ──► its chain in order
//	  pkcs12.go   pem.go      │                              choose.go                 chain.go
//	JWK ──────────────────────┴─► a key and its id
//	  jwk.go
//
// Whether Maskinporten takes a key is judged here too (key.go, chain.go): the
// sooner, the clearer the error can be.
package keystore

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// Key is a private key and what tells Maskinporten whose it is: its certificate
// chain, leaf first, or the id under which it is registered on the client. It
// is immutable.
type Key struct {
	Chain []*x509.Certificate
	ID    string

	// A func, because reflection does not reach what it has caught: printers
	// that go through unexported fields must not find the private numbers.
	signer func() crypto.Signer
}

// New returns the key of a signer with its certificates, which may be in any
// order: the leaf is the one with the signer's public key.
func New(signer crypto.Signer, certs []*x509.Certificate, now time.Time) (*Key, error) {
	if err := checkKey(signer); err != nil {
		return nil, err
	}
	chain, err := chainOf(signer.Public().(*rsa.PublicKey), certs, now)
	if err != nil {
		return nil, err
	}
	return &Key{Chain: chain, signer: func() crypto.Signer { return signer }}, nil
}

// NewRegistered returns a key without certificates. Its id may be empty.
func NewRegistered(signer crypto.Signer, id string) (*Key, error) {
	if err := checkKey(signer); err != nil {
		return nil, err
	}
	return &Key{ID: id, signer: func() crypto.Signer { return signer }}, nil
}

// Signer returns the private key.
func (k *Key) Signer() crypto.Signer { return k.signer() }

// WithID returns k registered under an id.
func (k *Key) WithID(id string) *Key {
	registered := *k
	registered.ID = id
	return &registered
}

// Usable reports why k may not sign now; nil if it may.
func (k *Key) Usable(now time.Time) error {
	if len(k.Chain) == 0 {
		return nil
	}
	if err := checkDates(k.Chain[0], now); err != nil {
		return err
	}
	return k.Complete()
}

// Complete reports why the chain is not one that Maskinporten takes: it wants
// the leaf and its issuer at least (x5c holds the "full chain" in Digdir's
// words).
func (k *Key) Complete() error {
	if k.ID != "" || len(k.Chain) != 1 || selfIssued(k.Chain[0]) {
		return nil
	}
	return fmt.Errorf("%w: %s is not in the file, and Maskinporten will refuse the chain without it: export the file anew with the whole chain, or load the key and all certificates with LoadPEM",
		ErrMissingIntermediate, quoted(k.Chain[0].Issuer.CommonName))
}

func checkKey(signer crypto.Signer) error {
	if signer == nil {
		return fmt.Errorf("%w: the signer is nil", ErrNoKey)
	}
	public, ok := signer.Public().(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: it is an %s, and Maskinporten takes RSA only: order a certificate with an RSA key", ErrUnusableKey, kindOf(signer.Public()))
	}
	switch bits := public.N.BitLen(); {
	case bits < 2048:
		return fmt.Errorf("%w: it has %d bits, and Maskinporten takes 2048 at least", ErrUnusableKey, bits)
	case bits > maxRSABits:
		return fmt.Errorf("%w: it has %d bits, and %d are the most", ErrUnusableKey, bits, maxRSABits)
	}
	return nil
}

// kindOf names a key by its type, without what is in it.
func kindOf(key any) string { return strings.TrimPrefix(fmt.Sprintf("%T", key), "*") }
