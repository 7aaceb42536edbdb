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

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Bounds on what the certificates may make this machine compute, beside the
// budget of p12. A chain has three certificates and keys of 4096 bits.
const (
	maxChain   = 10
	maxRSABits = 8192
)

// pool is the certificates of one file, and what has been found out about them.
type pool struct {
	certs  []certificate
	now    time.Time
	budget *p12.Budget
	signed map[[2]*x509.Certificate]bool // whether the second signed the first
}

func newPool(certs []certificate, now time.Time, budget *p12.Budget) *pool {
	p := &pool{now: now, budget: budget, signed: map[[2]*x509.Certificate]bool{}}
	seen := map[string]bool{}
	for _, c := range certs {
		if !seen[string(c.Raw)] {
			seen[string(c.Raw)] = true
			p.certs = append(p.certs, c)
		}
	}
	return p
}

// chain returns the certificates in order, from the one with the key to the
// last issuer there is. Others are left out.
func (p *pool) chain(key *rsa.PublicKey) ([]certificate, error) {
	if len(p.certs) == 0 {
		return nil, fmt.Errorf("%w beside the key: export both together, or register the key on the client and give its id: LoadPEMKey, NewKeyCredential, MASKINPORTEN_KEY_ID", ErrNoCertificate)
	}
	leaf, err := p.leaf(key)
	if err != nil {
		return nil, err
	}
	chain := []certificate{leaf}
	for len(chain) < maxChain {
		issuer, err := p.issuer(chain[len(chain)-1])
		if err != nil {
			return nil, err
		}
		if issuer.Certificate == nil || slices.ContainsFunc(chain, issuer.same) {
			break
		}
		chain = append(chain, issuer)
	}
	return chain, nil
}

// leaf finds the certificate of the key. After a renewal with the same key
// there are two: the one that may sign, and that for longest, is taken.
func (p *pool) leaf(key *rsa.PublicKey) (leaf certificate, err error) {
	for _, c := range p.certs {
		if !key.Equal(c.PublicKey) {
			continue
		}
		problem := checkLeaf(c.Certificate, p.now)
		switch {
		case leaf.Certificate == nil:
		case (err == nil) != (problem == nil):
			if problem != nil {
				continue
			}
		case (leaf.problem == nil) != (c.problem == nil):
			if c.problem != nil {
				continue
			}
		case !c.NotAfter.After(leaf.NotAfter):
			continue
		}
		leaf, err = c, problem
	}
	if leaf.Certificate == nil {
		return leaf, fmt.Errorf("%w: %s another; find the key that the certificate was ordered with", ErrKeyMismatch, subjects(p.certs))
	}
	return leaf, err
}

// errChecks is for certificates that cost too much to put in order.
var errChecks = fmt.Errorf("%w: to check the keys and signatures in it takes more than a second: leave only the key and its own chain", ErrNotKeystore)

// issuer finds the certificate whose key signed cert, one that is valid rather
// than one that is not; none if it is not there or cert is a root.
func (p *pool) issuer(cert certificate) (issuer certificate, err error) {
	if cert.selfIssued() {
		return issuer, nil
	}
	for _, c := range p.candidates(cert) {
		signed, err := p.signedBy(cert, c)
		if err != nil {
			return certificate{}, err
		}
		if !signed {
			continue
		}
		if c.problem == nil && checkDates(c.Certificate, p.now) == nil {
			return c, nil
		}
		if issuer.Certificate == nil {
			issuer = c
		}
	}
	return issuer, nil
}

// candidates returns the certificates of the issuer's name, those with the key
// id that cert names first.
func (p *pool) candidates(cert certificate) (named []certificate) {
	var others []certificate
	for _, c := range p.certs {
		switch {
		case !bytes.Equal(c.RawSubject, cert.RawIssuer):
		case len(cert.AuthorityKeyId) > 0 && bytes.Equal(c.SubjectKeyId, cert.AuthorityKeyId):
			named = append(named, c)
		default:
			others = append(others, c)
		}
	}
	return append(named, others...)
}

// signedBy reports whether issuer's key signed cert. It goes by the name alone
// where the signature cannot be checked: in a certificate that crypto/x509 does
// not parse, and with SHA-1, which it does not take. Whether a chain is good,
// Maskinporten says.
func (p *pool) signedBy(cert, issuer certificate) (bool, error) {
	if cert.problem != nil || issuer.problem != nil && issuer.PublicKey == nil {
		return true, nil
	}
	pair := [2]*x509.Certificate{cert.Certificate, issuer.Certificate}
	signed, known := p.signed[pair]
	if known {
		return signed, nil
	}
	if key, ok := issuer.PublicKey.(*rsa.PublicKey); ok {
		if key.N.BitLen() > maxRSABits {
			return false, nil
		}
		if !p.budget.PayRSA(key.N.BitLen(), bitLen(key.E)) {
			return false, errChecks
		}
	} else if !p.budget.PayCurve() {
		return false, errChecks
	}
	err := cert.CheckSignatureFrom(issuer.Certificate)
	var insecure x509.InsecureAlgorithmError
	signed = err == nil || errors.As(err, &insecure)
	p.signed[pair] = signed
	return signed, nil
}

func bitLen(n int) (bits int) {
	for ; n > 0; n >>= 1 {
		bits++
	}
	return bits
}

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
	case !leaf.NotAfter.IsZero() && now.After(leaf.NotAfter):
		return fmt.Errorf("%w on %s: order a new one from %s", ErrCertificateExpired, leaf.NotAfter.Format(time.DateOnly), quoted(leaf.Issuer.CommonName))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("%w: it is from %s; or this machine's clock is behind", ErrCertificateNotYetValid, leaf.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// subjects is for an error: whose the certificates are, the first few of them.
func subjects(certs []certificate) string {
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
