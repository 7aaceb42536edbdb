package maskinporten

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// CredentialSource supplies the credential to sign with. It is asked once for
// every grant and, while Maskinporten refuses the last one, for every call
// that wants to know whether there is a new one: seldom. It must be safe for
// concurrent use. A *[Credential] is its own source.
type CredentialSource interface {
	Credential(ctx context.Context) (*Credential, error)
}

// loggingSource is a source of this package's own, which warns of a file that
// does not load in the log of the client that asks.
type loggingSource interface {
	credential(ctx context.Context, log *slog.Logger) (*Credential, error)
}

// Credential is a private key and what tells Maskinporten whose it is: the
// certificate chain (x5c), or the id of a key registered on the client (kid).
// It is immutable and safe for concurrent use; printing it shows no key.
type Credential struct {
	signer crypto.Signer
	chain  []*x509.Certificate // leaf first
	x5c    []string
	kid    string
	header string // of its assertions, encoded
}

// What is wrong with a credential, for programs that act on it.
var (
	// ErrWrongPassword is what a keystore answers to a password that is not its own.
	ErrWrongPassword = errors.New("maskinporten: wrong password")

	// ErrNotKeystore: the input is something else than the function reads. A
	// JKS, JCEKS or BKS keystore is named, with the command that converts it.
	ErrNotKeystore = errors.New("maskinporten: not a keystore that can be read")

	// ErrUnsupportedEncryption: the keystore or the key is encrypted in a way
	// that is not read. The text has the command that converts it.
	ErrUnsupportedEncryption = errors.New("maskinporten: unsupported encryption")

	ErrNoKey         = errors.New("maskinporten: no private key")
	ErrNoCertificate = errors.New("maskinporten: no certificate")

	// ErrAmbiguousKey: more than one key can sign. The text lists them;
	// [LoadPKCS12Key] takes one by its name.
	ErrAmbiguousKey = errors.New("maskinporten: more than one key can sign")

	// ErrKeyMismatch: there are certificates, but none with the key's public key.
	ErrKeyMismatch = errors.New("maskinporten: no certificate belongs to the key")

	// ErrUnusableKey: not RSA, too short, or the certificate's Key Usage lacks
	// Digital Signature.
	ErrUnusableKey = errors.New("maskinporten: the key cannot sign for Maskinporten")

	ErrCertificateExpired     = errors.New("maskinporten: the certificate has expired")
	ErrCertificateNotYetValid = errors.New("maskinporten: the certificate is not valid yet")

	// ErrMissingIntermediate: the certificate loads, but Maskinporten takes it
	// only with its issuer's. [New] says so, and signing, unless a key id
	// stands in for the chain ([Credential.WithKeyID]).
	ErrMissingIntermediate = errors.New("maskinporten: the issuer's certificate is missing")
)

// NewCredential makes a credential of a key held anywhere (an HSM, a cloud
// KMS) and its certificates, in any order: the leaf is the one with the
// signer's public key, the chain follows from it, and what does not belong to
// it is left out.
//
// Sign is called from a goroutine of its own, for it takes no context: a
// signer that hangs or panics fails only the calls that wait for that grant.
func NewCredential(signer crypto.Signer, chain ...*x509.Certificate) (*Credential, error) {
	return newCredential(signer, chain, time.Now())
}

func newCredential(signer crypto.Signer, certs []*x509.Certificate, now time.Time) (*Credential, error) {
	if err := checkKey(signer); err != nil {
		return nil, err
	}
	chain, err := chainOf(signer.Public().(*rsa.PublicKey), certs, now)
	if err != nil {
		return nil, err
	}
	c := &Credential{signer: signer, chain: chain}
	for _, cert := range chain {
		c.x5c = append(c.x5c, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	return c.named(""), nil
}

// NewKeyCredential makes a credential of a key that is registered on the
// client in Samarbeidsportalen under the id kid.
func NewKeyCredential(signer crypto.Signer, kid string) (*Credential, error) {
	if err := checkKey(signer); err != nil {
		return nil, err
	}
	if kid == "" {
		return nil, invalid("kid", "is missing: give the id under which the key is registered on the client")
	}
	return (&Credential{signer: signer}).named(kid), nil
}

// Credential returns c: a credential is its own source.
func (c *Credential) Credential(context.Context) (*Credential, error) { return c, nil }

// WithKeyID is c for a certificate that is registered on the client: grants
// name the key by kid instead of carrying the chain.
//
// An empty kid means the chain again; for a key without one it changes nothing.
func (c *Credential) WithKeyID(kid string) *Credential {
	if kid == "" && len(c.chain) == 0 {
		return c
	}
	return c.named(kid)
}

// named is c with the header of its assertions, which names the key: kid or
// x5c, exactly one of them.
func (c *Credential) named(kid string) *Credential {
	named := *c
	named.kid = kid
	header := struct {
		Algorithm string   `json:"alg"`
		KeyID     string   `json:"kid,omitempty"`
		Chain     []string `json:"x5c,omitempty"`
	}{Algorithm: "RS256", KeyID: kid}
	if kid == "" {
		header.Chain = c.x5c
	}
	encoded, _ := json.Marshal(header) // strings: it cannot fail
	named.header = base64.RawURLEncoding.EncodeToString(encoded)
	return &named
}

// Certificate is the leaf; nil for a key without one.
func (c *Credential) Certificate() *x509.Certificate {
	if len(c.chain) == 0 {
		return nil
	}
	return c.chain[0]
}

// KeyID returns the id under which the key is registered on the client; empty
// if grants carry the certificate chain.
func (c *Credential) KeyID() string { return c.kid }

// Chain is the certificates, leaf first; nil for a key without one.
func (c *Credential) Chain() []*x509.Certificate { return slices.Clone(c.chain) }

// NotAfter is when the certificate expires; zero for a key without one.
func (c *Credential) NotAfter() time.Time {
	if leaf := c.Certificate(); leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

var (
	oidOrganizationIdentifier = asn1.ObjectIdentifier{2, 5, 4, 97}
	oidSerialNumber           = asn1.ObjectIdentifier{2, 5, 4, 5}
)

// OrgNumber is the organisation number in the certificate: organizationIdentifier
// NTRNO-… as SEID 2.0 has it, serialNumber as SEID 1 had it. Empty if there is none.
func (c *Credential) OrgNumber() string {
	leaf := c.Certificate()
	if leaf == nil {
		return ""
	}
	for _, oid := range []asn1.ObjectIdentifier{oidOrganizationIdentifier, oidSerialNumber} {
		for _, name := range leaf.Subject.Names {
			value, ok := name.Value.(string)
			if !ok || !name.Type.Equal(oid) {
				continue
			}
			if n, err := ParseOrgNumber(strings.TrimSpace(value)); err == nil {
				return string(n)
			}
		}
	}
	return ""
}

// same tells whether c signs as other does.
func (c *Credential) same(other *Credential) bool {
	if c == other {
		return true
	}
	key, ok := c.signer.Public().(*rsa.PublicKey)
	return ok && key.Equal(other.signer.Public()) && c.kid == other.kid && slices.Equal(c.x5c, other.x5c)
}

// usable tells whether c may sign now.
func (c *Credential) usable(now time.Time) error {
	leaf := c.Certificate()
	if leaf == nil {
		return nil
	}
	if err := checkDates(leaf, now); err != nil {
		return err
	}
	return c.complete()
}

// complete tells whether the chain is one that Maskinporten takes: the leaf
// and its issuer at least (x5c holds the "full chain" in Digdir's words).
func (c *Credential) complete() error {
	if c.kid != "" || len(c.chain) != 1 || selfIssued(c.chain[0]) {
		return nil
	}
	return fmt.Errorf("%w: %s is not in the file, and Maskinporten will refuse the chain without it: export the file anew with the whole chain, or load the key and all certificates with LoadPEM",
		ErrMissingIntermediate, quoted(c.chain[0].Issuer.CommonName))
}

// String names whose credential it is.
func (c Credential) String() string {
	if len(c.chain) == 0 {
		return fmt.Sprintf("Credential{KeyID: %q}", c.kid)
	}
	return fmt.Sprintf("Credential{Subject: %q, Issuer: %q, NotAfter: %s, KeyID: %q}",
		c.chain[0].Subject.CommonName, c.chain[0].Issuer.CommonName, c.chain[0].NotAfter.Format(time.DateOnly), c.kid)
}

// Format makes every verb print what String does.
func (c Credential) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue is what String prints.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText keeps JSON to what String prints.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
