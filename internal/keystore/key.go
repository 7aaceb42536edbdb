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
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Key is a private key and what tells Maskinporten whose it is: its certificate
// chain, leaf first, or the id under which it is registered on the client. It
// is immutable.
type Key struct {
	Chain   []*x509.Certificate
	ID      string
	Expires time.Time // when a key without certificates expires, if that is known

	// Notes are for the log: what is odd about the key, and no reason to refuse it.
	Notes []string

	// A func, because reflection does not reach what it has caught: printers
	// that go through unexported fields must not find the private numbers.
	signer func() crypto.Signer

	problem error // why the chain cannot be used
}

// New returns the key of a signer with its certificates, which may be in any
// order: the leaf is the one with the signer's public key.
func New(signer crypto.Signer, certs []*x509.Certificate, now time.Time) (*Key, error) {
	return newKey(signer, newPool(parsed(certs), now, p12.NewBudget()), "")
}

// NewRegistered returns a key without certificates. Its id may be empty.
func NewRegistered(signer crypto.Signer, id string) (*Key, error) {
	if err := checkKey(signer); err != nil {
		return nil, err
	}
	return &Key{ID: id, signer: func() crypto.Signer { return signer }}, nil
}

func newKey(signer crypto.Signer, certs *pool, id string) (*Key, error) {
	key, err := NewRegistered(signer, id)
	if err != nil {
		return nil, err
	}
	chain, err := certs.chain(signer.Public().(*rsa.PublicKey))
	if id != "" && (errors.Is(err, ErrNoCertificate) || errors.Is(err, ErrKeyMismatch)) {
		return key, nil
	}
	if err != nil {
		return nil, err
	}
	for i, c := range chain {
		if c.problem != nil && i > 1 {
			// Maskinporten does not need the root.
			key.Notes = append(key.Notes, fmt.Sprintf("the certificate of %s is left out of the chain, for it is not as X.509 demands: %v", quoted(c.Subject.CommonName), c.problem))
			break
		}
		if c.problem != nil && key.problem == nil {
			key.problem = fmt.Errorf("%w: that of %s, issued by %s: %w; order a new one, or register the key on the client and give its id: WithKeyID, MASKINPORTEN_KEY_ID",
				ErrMalformedCertificate, quoted(c.Subject.CommonName), quoted(c.Issuer.CommonName), c.problem)
		}
		key.Chain = append(key.Chain, c.Certificate)
	}
	return key, nil
}

// maxID is over any thumbprint in hexadecimal, and under any private number.
const maxID = 150

// CheckID returns what is wrong with a key id, and what would be right; it
// returns an empty string for a good one, and for none. Of what comes along in
// configuration files Maskinporten would only say that it is not known. The key
// itself, given in place of its id, would even be sent.
func CheckID(id string) (problem string) {
	switch {
	case len(id) > maxID, LooksLikeKey(id):
		return "looks like a key or a token, and is not shown: give the id under which the key is registered on the client"
	case strings.TrimSpace(id) != id, strings.ContainsFunc(id, func(c rune) bool { return !unicode.IsPrint(c) }):
		return fmt.Sprintf("%q holds white space or what does not print: copy it again from Samarbeidsportalen", redact.Cut(redact.Secrets(id), 100))
	}
	return ""
}

// LooksLikeKey reports whether s is the beginning of a JWK, of PEM or of a
// token, where an id belongs.
func LooksLikeKey(s string) bool {
	s = strings.TrimLeft(s, " \t\r\n\"'")
	return strings.HasPrefix(s, "{") || strings.HasPrefix(s, "eyJ") || strings.Contains(s, "-BEGIN ")
}

// Signer returns the private key; nil for the zero Key.
func (k *Key) Signer() crypto.Signer {
	if k.signer == nil {
		return nil
	}
	return k.signer()
}

// WithID returns k registered under an id.
func (k *Key) WithID(id string) *Key {
	registered := *k
	registered.ID = id
	return &registered
}

// Usable reports why k may not sign now; nil if it may.
func (k *Key) Usable(now time.Time) error {
	if len(k.Chain) > 0 {
		if err := checkDates(k.Chain[0], now); err != nil {
			return err
		}
	}
	return k.Complete()
}

// Complete reports why k is not one to sign with. Without an id there must be
// the leaf and its issuer at least: x5c holds the "full chain" in Digdir's words.
func (k *Key) Complete() error {
	switch {
	case k.signer == nil:
		return fmt.Errorf("%w: the credential is empty: make one with LoadPKCS12, LoadPEM, LoadJWK or NewCredential", ErrNoKey)
	case k.ID != "":
		return nil
	case k.problem != nil:
		return k.problem
	case len(k.Chain) != 1 || bytes.Equal(k.Chain[0].RawSubject, k.Chain[0].RawIssuer):
		return nil
	}
	return fmt.Errorf("%w: %s is not in the file, and Digdir asks for the full chain: export the file anew with the whole chain, or load the key and all certificates with LoadPEM",
		ErrMissingIntermediate, quoted(k.Chain[0].Issuer.CommonName))
}

// describe tells k from others in an error.
func (k *Key) describe() string {
	if len(k.Chain) == 0 {
		return fmt.Sprintf("RSA with %d bits, no certificate", k.Signer().Public().(*rsa.PublicKey).N.BitLen())
	}
	leaf := k.Chain[0]
	return fmt.Sprintf("%s, serial number %x, Key Usage %s, expires %s", quoted(leaf.Subject.CommonName), leaf.SerialNumber, KeyUsage(leaf), leaf.NotAfter.Format(time.DateOnly))
}

// kindOf names a key by its type, without what is in it.
func kindOf(key any) string { return strings.TrimPrefix(fmt.Sprintf("%T", key), "*") }
