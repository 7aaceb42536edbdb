package keystore

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Bounds on what a file may make this machine compute. A chain has three
// certificates and keys of 4096 bits.
const (
	maxChain   = 10
	maxIssuers = 20 // certificates of the same name that are tried as issuer
	maxRSABits = 16384
)

// checkLeaf judges a certificate by its Key Usage and not by the name of its
// file: sources differ on which of the issuer's files is which.
func checkLeaf(leaf *x509.Certificate, now time.Time) error {
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return fmt.Errorf("%w: the Key Usage of the certificate of %s is %s and lacks Digital Signature; the issuer delivers two or three files: take the one whose Key Usage has it",
			ErrUnusableKey, quoted(leaf.Subject.CommonName), KeyUsage(leaf))
	}
	return checkDates(leaf, now)
}

func checkDates(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("%w on %s: order a new one from %s", ErrCertificateExpired, leaf.NotAfter.Format(time.DateOnly), quoted(leaf.Issuer.CommonName))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w: it is from %s; or this machine's clock is behind", ErrCertificateNotYetValid, leaf.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// chainOf puts the certificates in order, from the one with the key to the
// last issuer there is. Others are left out.
func chainOf(key *rsa.PublicKey, certs []*x509.Certificate, now time.Time) ([]*x509.Certificate, error) {
	certs = slices.DeleteFunc(slices.Clone(certs), func(c *x509.Certificate) bool { return c == nil })
	if len(certs) == 0 {
		return nil, fmt.Errorf("%w beside the key: export both together, or register the key on the client and use NewKeyCredential", ErrNoCertificate)
	}
	leaf, err := leafOf(key, certs, now)
	if err != nil {
		return nil, err
	}
	chain := []*x509.Certificate{leaf}
	for len(chain) < maxChain {
		issuer := issuerOf(chain[len(chain)-1], certs, now)
		if issuer == nil || slices.ContainsFunc(chain, issuer.Equal) {
			break
		}
		chain = append(chain, issuer)
	}
	return chain, nil
}

// leafOf finds the certificate of the key. After a renewal with the same key
// there are two: the one that may sign, and that for longest, is taken.
func leafOf(key *rsa.PublicKey, certs []*x509.Certificate, now time.Time) (leaf *x509.Certificate, err error) {
	for _, c := range certs {
		if !key.Equal(c.PublicKey) {
			continue
		}
		problem := checkLeaf(c, now)
		better := leaf == nil || err != nil && problem == nil || (err == nil) == (problem == nil) && c.NotAfter.After(leaf.NotAfter)
		if better {
			leaf, err = c, problem
		}
	}
	if leaf == nil {
		return nil, fmt.Errorf("%w: %s another; find the key that the certificate was ordered with", ErrKeyMismatch, subjects(certs))
	}
	return leaf, err
}

// issuerOf finds the certificate whose key signed cert, one that is valid
// rather than one that is not; nil if there is none or cert is a root.
func issuerOf(cert *x509.Certificate, certs []*x509.Certificate, now time.Time) (issuer *x509.Certificate) {
	if selfIssued(cert) {
		return nil
	}
	tried := 0
	for _, c := range certs {
		if !bytes.Equal(c.RawSubject, cert.RawIssuer) || tooLarge(c) {
			continue
		}
		if tried++; tried > maxIssuers {
			break
		}
		// An old CA's signature with SHA-1 is not checked by crypto/x509, but
		// then the name has to do: whether the chain is good, Maskinporten says.
		var insecure x509.InsecureAlgorithmError
		if err := cert.CheckSignatureFrom(c); err != nil && !errors.As(err, &insecure) {
			continue
		}
		if checkDates(c, now) == nil {
			return c
		}
		if issuer == nil {
			issuer = c
		}
	}
	return issuer
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

func tooLarge(c *x509.Certificate) bool {
	key, ok := c.PublicKey.(*rsa.PublicKey)
	return ok && key.N.BitLen() > maxRSABits
}

// subjects is for an error: whose the certificates are, the first few of them.
func subjects(certs []*x509.Certificate) string {
	var names []string
	for _, c := range certs[:min(len(certs), 3)] {
		names = append(names, quoted(c.Subject.CommonName))
	}
	if len(certs) > 3 {
		names = append(names, fmt.Sprintf("%d others", len(certs)-3))
	}
	if len(certs) == 1 {
		return "that of " + names[0] + " belongs to"
	}
	return "those of " + strings.Join(names, ", ") + " belong to"
}

// quoted is what a certificate or a file says of itself, fit to be printed.
func quoted(s string) string { return fmt.Sprintf("%q", redact.Clean(s, 100)) }

// KeyUsage names what the key of c may do.
func KeyUsage(c *x509.Certificate) string {
	if c.KeyUsage == 0 {
		return "not stated"
	}
	var names []string
	for i, name := range []string{
		"Digital Signature", "Non-Repudiation", "Key Encipherment", "Data Encipherment", "Key Agreement",
		"Certificate Sign", "CRL Sign", "Encipher Only", "Decipher Only",
	} {
		if c.KeyUsage&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
