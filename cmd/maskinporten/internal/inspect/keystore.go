package inspect

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Key is a private or public key.
type Key struct {
	Name       string `json:"name,omitempty"` // friendlyName, which Java calls alias; a JWK's kid
	Type       string `json:"type"`
	Bits       int    `json:"bits,omitempty"`
	Private    bool   `json:"private"`
	Encryption string `json:"encryption,omitempty"` // in a PKCS#12 file
	Usable     bool   `json:"usable"`
	Problem    string `json:"problem,omitempty"` // why it is not
	Use        string `json:"use,omitempty"`     // of a JWK, as are the rest
	Alg        string `json:"alg,omitempty"`
	Expires    string `json:"expires,omitempty"`
}

// Certificate is one of the certificates in a file.
type Certificate struct {
	Name        string    `json:"name,omitempty"`   // friendlyName in a PKCS#12 file
	Role        string    `json:"role"`             // leaf, issuer or root
	OfKey       int       `json:"of_key,omitempty"` // the number of its key, from 1
	Subject     string    `json:"subject"`
	OrgNumber   string    `json:"orgnr,omitempty"`
	KeyUsage    string    `json:"key_usage"`
	Issuer      string    `json:"issuer"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	Days        int       `json:"days_left"`
	Environment string    `json:"environment,omitempty"`
	Serial      string    `json:"serial"`
	SHA256      string    `json:"sha256"`
	Encryption  string    `json:"encryption,omitempty"` // in a PKCS#12 file
}

func describeCertificate(c *x509.Certificate, now time.Time) Certificate {
	sum := sha256.Sum256(c.Raw)
	d := Certificate{
		Role: "leaf", Subject: Name(c.Subject), OrgNumber: OrgNumber(c), KeyUsage: keystore.KeyUsage(c), Issuer: Name(c.Issuer),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Days: int(c.NotAfter.Sub(now).Hours() / 24),
		Environment: Environment(c), Serial: c.SerialNumber.Text(16), SHA256: hex.EncodeToString(sum[:]),
	}
	if c.IsCA {
		d.Role, d.Environment = "issuer", ""
		if bytes.Equal(c.RawSubject, c.RawIssuer) {
			d.Role = "root"
		}
	}
	return d
}

func clean(s string) string { return redact.Clean(s, 200) }

// describeKey is what can be said of a key.
func describeKey(name string, key any) Key {
	k := Key{Name: clean(name), Private: true}
	if signer, ok := key.(crypto.Signer); ok {
		key = signer.Public()
	} else {
		k.Private = false
	}
	switch public := key.(type) {
	case *rsa.PublicKey:
		k.Type, k.Bits = "RSA", public.N.BitLen()
	case *ecdsa.PublicKey:
		k.Type, k.Bits = "EC", public.Curve.Params().BitSize
	case ed25519.PublicKey:
		k.Type, k.Bits = "Ed25519", 256
	}
	return k
}

// pkcs12 opens a keystore with the passwords there are.
func (f *File) pkcs12(data []byte, passwords []string, now time.Time) {
	f.Kind = PKCS12
	f.protection(data)
	var (
		content  *keystore.Content
		password string
		err      error
	)
	for _, password = range append([]string{""}, passwords...) {
		if content, err = keystore.Open(data, password); !errors.Is(err, keystore.ErrWrongPassword) {
			break
		}
	}
	switch {
	case err == nil:
		f.judge(content, now)
		return
	case errors.Is(err, keystore.ErrWrongPassword) && len(passwords) == 0:
		f.Verdict.Text = "it does not open without a password: give --password-file"
		return
	case errors.Is(err, keystore.ErrNoKey):
		f.Verdict.Opened = true
		if store, err := p12.Open(data, password, p12.NewBudget()); err == nil {
			for _, stored := range store.Certificates {
				if c, err := x509.ParseCertificate(stored.DER); err == nil {
					f.add(keystore.Entry{Certificate: c, Name: stored.FriendlyName, Encryption: stored.Encryption}, now)
				}
			}
		}
	case errors.Is(err, keystore.ErrNotKeystore):
		f.Kind = Unknown
	}
	f.Verdict.Text = reason(err)
}

// pemBlocks reads what is in PEM blocks.
func (f *File) pemBlocks(data []byte, now time.Time) {
	f.Kind = PEM
	content, err := keystore.Open(data, "")
	if err == nil {
		f.judge(content, now)
		return
	}
	var certs []*x509.Certificate
	others := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(first(block.Bytes)); err == nil {
			certs = append(certs, c)
			continue
		}
		if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
			f.Keys = append(f.Keys, describeKey("", key))
			continue
		}
		others++
	}
	f.describe(certs, now)
	f.Verdict = Verdict{Opened: len(certs)+len(f.Keys) > 0, Text: chainVerdict(certs, now)}
	if others > 0 || !f.Verdict.Opened {
		_, err := keystore.PEM("", data)
		f.Verdict.Text = reason(err)
	}
}

// first is the first DER element: openssl puts notes of its own behind it.
func first(der []byte) []byte {
	var raw asn1.RawValue
	if _, err := asn1.Unmarshal(der, &raw); err == nil {
		return raw.FullBytes
	}
	return der
}

// certificate reads one in DER.
func (f *File) certificate(data []byte, now time.Time) bool {
	c, err := x509.ParseCertificate(data)
	if err != nil {
		return false
	}
	f.Kind = DER
	f.describe([]*x509.Certificate{c}, now)
	f.Verdict = Verdict{Opened: true, Text: chainVerdict([]*x509.Certificate{c}, now)}
	return true
}

func (f *File) describe(certs []*x509.Certificate, now time.Time) {
	for _, c := range certs {
		f.add(keystore.Entry{Certificate: c}, now)
	}
}

func (f *File) add(entry keystore.Entry, now time.Time) {
	d := describeCertificate(entry.Certificate, now)
	d.Name, d.Encryption = clean(entry.Name), entry.Encryption
	f.Certificates = append(f.Certificates, d)
}

// chainVerdict is for certificates without a key.
func chainVerdict(certs []*x509.Certificate, now time.Time) string {
	verdict := "no private key: it signs nothing; the keystore with the key is what Maskinporten needs"
	for _, c := range certs {
		if !c.IsCA && now.After(c.NotAfter) {
			return verdict + "; and the certificate expired on " + c.NotAfter.UTC().Format(time.DateOnly)
		}
	}
	return verdict
}

// judge says of each key whether it can sign for Maskinporten, and of the file
// whether one can.
func (f *File) judge(content *keystore.Content, now time.Time) {
	for _, entry := range content.Entries() {
		f.add(entry, now)
	}
	f.Verdict.Opened = true
	var usable, reasons []string
	for i, candidate := range content.Candidates(now) {
		key := describeKey(candidate.Name, candidate.Private)
		key.Encryption = candidate.Encryption
		if key.Type == "" {
			key.Type = candidate.Kind
		}
		if key.Usable = candidate.Err == nil; !key.Usable {
			key.Problem = reason(candidate.Err)
			reasons = append(reasons, key.Problem)
		} else {
			leaf := candidate.Key.Chain[0]
			usable = append(usable, fmt.Sprintf("usable for Maskinporten%s, for organisation %s, until %s (%d days)",
				inEnvironment(leaf), orUnknown(OrgNumber(leaf)), leaf.NotAfter.UTC().Format(time.DateOnly), int(leaf.NotAfter.Sub(now).Hours()/24)))
		}
		f.Keys = append(f.Keys, key)
		f.mark(i, candidate, content.Certificates)
	}
	switch {
	case len(usable) == 1:
		f.Verdict.OK, f.Verdict.Text = true, usable[0]
	case len(usable) > 1:
		f.Verdict.Text = fmt.Sprintf("%d keys can sign, and the library does not choose: make a file of one of them with `maskinporten convert --key`", len(usable))
	case len(reasons) == 0:
		f.Verdict.Text = chainVerdict(content.Certificates, now)
	default:
		f.Verdict.Text = "not usable for Maskinporten: " + strings.Join(reasons, "; ")
	}
}

// mark notes which certificates are those of a key.
func (f *File) mark(i int, candidate keystore.Candidate, certs []*x509.Certificate) {
	signer, ok := candidate.Private.(crypto.Signer)
	if !ok {
		return
	}
	for j, c := range certs {
		if public, ok := c.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && public.Equal(signer.Public()) {
			f.Certificates[j].OfKey = i + 1
		}
	}
}

func inEnvironment(leaf *x509.Certificate) string {
	if env := Environment(leaf); env != "" {
		return " in " + env
	}
	return ""
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// reason is an error of the library, without what it begins each with.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimPrefix(err.Error(), "maskinporten: ")
}

// BestOf returns which of several files to use, and why; no name if none is.
func BestOf(files []File) (name, why string) {
	var best *File
	usable := 0
	keystores := 0
	for i := range files {
		f := &files[i]
		if f.Kind != PKCS12 && f.Kind != PEM {
			continue
		}
		keystores++
		if !f.Verdict.OK {
			continue
		}
		usable++
		if best == nil || f.days() > best.days() {
			best = f
		}
	}
	switch {
	case keystores < 2:
		return "", ""
	case usable == 0:
		return "", "none of these files is usable for Maskinporten"
	case usable == 1:
		return best.File, "use this one: its key has Digital Signature, and what Maskinporten needs besides"
	}
	return best.File, fmt.Sprintf("use this one: of the %d that are usable, it is valid for longest", usable)
}

// days is how long the certificate of the file's key is valid.
func (f *File) days() int {
	for _, c := range f.Certificates {
		if c.OfKey > 0 {
			return c.Days
		}
	}
	return 0
}
