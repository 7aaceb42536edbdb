package maskinporten

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
	"github.com/maskinporten-go/maskinporten/internal/redact"
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
// It is immutable and safe for concurrent use; printing it shows no key. A nil
// one, as [Stats] has it before the first grant, knows nothing about itself.
type Credential struct {
	key keystore.Key
	x5c []string // its chain in base64
}

// What is wrong with a credential, for programs that act on it.
var (
	// ErrWrongPassword is returned when a keystore does not open with the password.
	ErrWrongPassword = keystore.ErrWrongPassword

	// ErrNotKeystore is returned for input that is something else than the
	// function reads. A JKS, JCEKS or BKS keystore is named, with the command
	// that converts it.
	ErrNotKeystore = keystore.ErrNotKeystore

	// ErrUnsupportedEncryption is returned when the keystore or the key is
	// encrypted in a way that is not read. The text has the command that
	// converts it.
	ErrUnsupportedEncryption = keystore.ErrUnsupportedEncryption

	// ErrNoKey is returned when there is no private key in the input.
	ErrNoKey = keystore.ErrNoKey

	// ErrNoCertificate is returned when there is a key and no certificate. One
	// that is registered on the client needs none: see [NewKeyCredential].
	ErrNoCertificate = keystore.ErrNoCertificate

	// ErrAmbiguousKey is returned when more than one key can sign. The text
	// lists them; [LoadPKCS12Key] takes one by its name.
	ErrAmbiguousKey = keystore.ErrAmbiguousKey

	// ErrKeyMismatch is returned when there are certificates, but none with the
	// key's public key.
	ErrKeyMismatch = keystore.ErrKeyMismatch

	// ErrUnusableKey is returned for a key that is not RSA, is too short, or
	// whose certificate's Key Usage lacks Digital Signature.
	ErrUnusableKey = keystore.ErrUnusableKey

	// ErrCertificateExpired is returned when the certificate's time is over.
	ErrCertificateExpired = keystore.ErrCertificateExpired

	// ErrCertificateNotYetValid is returned when the certificate's time has not
	// begun, or this machine's clock is behind.
	ErrCertificateNotYetValid = keystore.ErrCertificateNotYetValid

	// ErrMalformedCertificate is returned for a certificate that does not keep
	// to X.509, with its name and what is wrong with it: the credential loads,
	// and [New] returns this, and signing, unless a key id stands in for the
	// chain ([Credential.WithKeyID]).
	ErrMalformedCertificate = keystore.ErrMalformedCertificate

	// ErrMissingIntermediate is returned when the issuer's certificate is not
	// there: the credential loads, but Maskinporten takes it only with its
	// issuer's. [New] returns it for a Credential, and [Client.Check] and the
	// first grant for what a source loads, unless a key id stands in for the
	// chain ([Credential.WithKeyID]).
	ErrMissingIntermediate = keystore.ErrMissingIntermediate
)

// NewCredential makes a credential of a key held anywhere (an HSM, a cloud
// KMS) and its certificates, in any order: the leaf is the one with the
// signer's public key, the chain follows from it, and what does not belong to
// it is left out.
//
// Sign is called from a goroutine of its own, for it takes no context: a
// signer that hangs or panics fails only the calls that wait for that grant.
func NewCredential(signer crypto.Signer, chain ...*x509.Certificate) (*Credential, error) {
	return fromKey(keystore.New(signer, chain, time.Now()))
}

// NewKeyCredential makes a credential of a key that is registered on the
// client in Samarbeidsportalen under the id kid.
func NewKeyCredential(signer crypto.Signer, kid string) (*Credential, error) {
	if err := checkKeyID("kid", kid); err != nil {
		return nil, err
	}
	return fromKey(keystore.NewRegistered(signer, kid))
}

// LoadPKCS12 reads a virksomhetssertifikat as Buypass and Commfides deliver
// it, a .p12 or .pfx file, or what Windows, Java, a browser or a key vault has
// made of it since: DER or BER, as it is or as base64, with certificates in
// any order. Of the two or three files that the issuer sends, take the one
// whose Key Usage has Digital Signature. If the file has several keys, the one
// that can sign for Maskinporten is taken.
//
// The error says what to do. A keystore in another format, or with encryption
// that is not read, needs one command, which the error prints.
func LoadPKCS12(data []byte, password string) (*Credential, error) {
	return fromKey(keystore.PKCS12(data, password, ""))
}

// LoadPKCS12Key is [LoadPKCS12] for a file in which more than one key can
// sign: it takes the one with this friendlyName, which Java calls alias.
func LoadPKCS12Key(data []byte, password, friendlyName string) (*Credential, error) {
	return fromKey(keystore.PKCS12Named(data, password, friendlyName))
}

// LoadPEM reads a private key and certificates from PEM, in any order, from
// one or several inputs: the key (PKCS#1 or PKCS#8) and the chain may be in
// files of their own, the certificates also as DER or PKCS#7 (.cer, .p7b). Text
// between the blocks, such as the bag attributes that openssl writes, does not
// matter. A block that cannot be read is an error, never passed over. An
// encrypted key is refused with the command that decrypts it.
//
// For a key without a certificate see [LoadPEMKey].
func LoadPEM(blocks ...[]byte) (*Credential, error) { return fromKey(keystore.PEM("", blocks...)) }

// LoadPEMKey is [LoadPEM] for a key that is registered on the client in
// Samarbeidsportalen under the id kid, and needs no certificate. If there is
// one all the same, it must be valid.
func LoadPEMKey(kid string, blocks ...[]byte) (*Credential, error) {
	if kid == "" {
		return nil, errNoKeyID
	}
	if err := checkKeyID("kid", kid); err != nil {
		return nil, err
	}
	return fromKey(keystore.PEM(kid, blocks...))
}

// LoadJWK reads a private RSA key with its kid from a JWK (RFC 7517), as NAIS
// injects it in MASKINPORTEN_CLIENT_JWK: as it is, as base64, or in a set in
// which no other private RSA key is. The member exp, which Digdir's API for keys
// has, is the credential's NotAfter.
func LoadJWK(data []byte) (*Credential, error) { return fromKey(keystore.JWK(data)) }

var errNoKeyID = invalid("kid", "is missing: give the id under which the key is registered on the client")

// checkKeyID refuses what [keystore.CheckID] does.
func checkKeyID(field, kid string) error {
	if problem := keystore.CheckID(kid); problem != "" {
		return invalid(field, problem)
	}
	return nil
}

// fromKey makes a Credential of what internal/keystore returns.
func fromKey(key *keystore.Key, err error) (*Credential, error) {
	if errors.Is(err, keystore.ErrNoKeyID) {
		return nil, errNoKeyID
	}
	if err != nil {
		return nil, err
	}
	if key.ID == "" && len(key.Chain) == 0 {
		return nil, errNoKeyID
	}
	c := &Credential{key: *key}
	for _, cert := range key.Chain {
		c.x5c = append(c.x5c, base64.StdEncoding.EncodeToString(cert.Raw))
	}
	return c, nil
}

// Credential returns c: a credential is its own source.
func (c *Credential) Credential(context.Context) (*Credential, error) { return c, nil }

// WithKeyID returns c for a certificate that is registered on the client:
// grants name the key by kid instead of carrying the chain.
//
// An empty kid means the chain again; for a key without one it changes nothing.
func (c *Credential) WithKeyID(kid string) *Credential {
	if c == nil || kid == "" && len(c.key.Chain) == 0 {
		return c
	}
	named := *c
	named.key.ID = kid
	return &named
}

// Certificate returns the leaf; nil for a key without one.
func (c *Credential) Certificate() *x509.Certificate {
	if c == nil || len(c.key.Chain) == 0 {
		return nil
	}
	return c.key.Chain[0]
}

// KeyID returns the id under which the key is registered on the client; empty
// if grants carry the certificate chain.
func (c *Credential) KeyID() string {
	if c == nil {
		return ""
	}
	return c.key.ID
}

// Chain returns the certificates, leaf first; nil for a key without one.
func (c *Credential) Chain() []*x509.Certificate {
	if c == nil {
		return nil
	}
	return slices.Clone(c.key.Chain)
}

// NotAfter returns when the certificate expires, or a JWK that says so (exp);
// zero if that is not known.
func (c *Credential) NotAfter() time.Time {
	if leaf := c.Certificate(); leaf != nil {
		return leaf.NotAfter
	}
	if c == nil {
		return time.Time{}
	}
	return c.key.Expires
}

var (
	oidOrganizationIdentifier = asn1.ObjectIdentifier{2, 5, 4, 97}
	oidSerialNumber           = asn1.ObjectIdentifier{2, 5, 4, 5}
)

// OrgNumber returns the organisation number in the certificate: organizationIdentifier
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

// same reports whether c signs as other does.
func (c *Credential) same(other *Credential) bool {
	if c == other {
		return true
	}
	if c.key.Signer() == nil || other.key.Signer() == nil {
		return false
	}
	key, ok := c.key.Signer().Public().(*rsa.PublicKey)
	return ok && key.Equal(other.key.Signer().Public()) && c.key.ID == other.key.ID && slices.Equal(c.x5c, other.x5c)
}

// usable reports why c may not sign now.
func (c *Credential) usable(now time.Time) error {
	if err := checkKeyID("kid", c.key.ID); err != nil {
		return err
	}
	return c.key.Usable(now)
}

// complete reports why the chain, or the key id in its place, is not one that
// Maskinporten takes.
func (c *Credential) complete() error {
	if err := checkKeyID("kid", c.key.ID); err != nil {
		return err
	}
	return c.key.Complete()
}

// String names whose credential it is.
func (c Credential) String() string {
	if len(c.key.Chain) == 0 {
		return fmt.Sprintf("Credential{KeyID: %q}", c.shownID())
	}
	return fmt.Sprintf("Credential{Subject: %q, Issuer: %q, NotAfter: %s, KeyID: %q}",
		c.key.Chain[0].Subject.CommonName, c.key.Chain[0].Issuer.CommonName, c.key.Chain[0].NotAfter.Format(time.DateOnly), c.shownID())
}

// shownID is the key id, unless it may be the key.
func (c *Credential) shownID() string {
	if keystore.CheckID(c.key.ID) != "" {
		return redact.Hidden
	}
	return c.key.ID
}

// Format makes every verb print what String does.
func (c Credential) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue returns what String prints.
func (c *Credential) LogValue() slog.Value {
	if c == nil {
		return slog.Value{}
	}
	return slog.StringValue(c.String())
}

// MarshalText keeps JSON to what String prints.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// PKCS12File returns a PKCS#12 file as a source that looks at it each time it
// signs: a renewed certificate needs no restart, whether the file was written
// over, replaced or is a Kubernetes secret. If a new file does not load, or the
// file system hangs, the last good credential stays in use, and the log says so
// once. PEM and JWK files are read, too.
func PKCS12File(path, password string) CredentialSource {
	return &fileSource{file: keystore.StoreFile(path, password, "", "")}
}

// PKCS12PasswordFile is [PKCS12File] with the password in a file of its own,
// which is read together with it. A line break at its end does not count, nor a
// byte order mark.
func PKCS12PasswordFile(path, passwordPath string) CredentialSource {
	return &fileSource{file: keystore.StoreFile(path, "", passwordPath, "")}
}

// PEMFile returns one or several PEM files that together hold a key and its
// certificates as a source that looks at them each time it signs, as
// [PKCS12File] does.
func PEMFile(paths ...string) CredentialSource {
	return &fileSource{file: keystore.NewFile(func(files [][]byte) (*keystore.Key, error) { return keystore.PEM("", files...) }, paths...)}
}

// JWKFile returns a file that holds a private JWK as a source that looks at it
// each time it signs, as [PKCS12File] does.
func JWKFile(path string) CredentialSource {
	return &fileSource{file: keystore.NewFile(func(files [][]byte) (*keystore.Key, error) { return keystore.JWK(files[0]) }, path)}
}

// fileSource is a key in files as a source of credentials: one for each key
// that they held.
type fileSource struct {
	file *keystore.File

	mu       sync.Mutex
	key      *keystore.Key
	cred     *Credential // of key
	since    time.Time   // when cred was first seen
	accepted bool        // Maskinporten has taken a grant of cred
	previous *Credential // what signed before cred
	fallback bool        // previous signs, for cred has not arrived at Maskinporten
}

// String names the files.
func (s *fileSource) String() string { return "CredentialSource{" + s.file.String() + "}" }

// Format makes every verb print what String does.
func (s *fileSource) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// arrival is how long a key that was registered just now may be on its way:
// Digdir says two minutes, and several have been seen.
const arrival = 10 * time.Minute

// Credential returns the credential as the files have it.
func (s *fileSource) Credential(ctx context.Context) (*Credential, error) {
	return s.credential(ctx, slog.New(slog.DiscardHandler))
}

func (s *fileSource) credential(ctx context.Context, log *slog.Logger) (*Credential, error) {
	key, err := s.file.Key(ctx, log)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if key == s.key {
		if s.fallback && now.Sub(s.since) < arrival && s.previous.usable(now) == nil {
			return s.previous, nil
		}
		return s.cred, nil
	}
	cred, err := fromKey(key, nil)
	if err != nil {
		return nil, err
	}
	if s.accepted || s.previous == nil {
		s.previous = s.cred
	}
	s.key, s.cred, s.since, s.accepted, s.fallback = key, cred, now, false, false
	return cred, nil
}

// keyUnknown is told that Maskinporten does not know the key id of cred, and
// reports whether the key before it signs instead: cred is new then, and has
// never been accepted.
func (s *fileSource) keyUnknown(cred *Credential) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cred == nil || cred != s.cred || s.accepted || s.previous == nil || time.Since(s.since) >= arrival {
		return false
	}
	s.fallback = true
	return true
}

// keyAccepted is told that Maskinporten has taken a grant of cred.
func (s *fileSource) keyAccepted(cred *Credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cred == s.cred {
		s.accepted, s.fallback, s.previous = true, false, nil
	}
}

// loaded returns the credential that the files had when they were last asked
// for it; nil if they have not been asked, or nothing loaded.
func (s *fileSource) loaded() *Credential {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cred
}
