package keystore

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// PEM reads a private key and certificates from PEM, in any order, from one or
// several inputs. Text between the blocks, such as the bag attributes that
// openssl writes, does not matter. An encrypted key is refused with the command
// that decrypts it. Certificates may be DER or PKCS#7 (.cer, .p7b), too. With an
// id the key needs no certificate.
func PEM(id string, inputs ...[]byte) (*Key, error) {
	content, err := openPEM(inputs...)
	if err != nil {
		return nil, err
	}
	return content.Key(id, time.Now())
}

func openPEM(inputs ...[]byte) (*Content, error) {
	found := pemContent{Content: Content{budget: p12.NewBudget(), remedy: "; leave only one of them in the PEM data"}}
	size := 0
	for _, data := range inputs {
		if size += len(data); size > p12.MaxInput {
			return nil, fmt.Errorf("%w: the PEM data is over 2 MiB", ErrNotKeystore)
		}
		if err := found.read(data, maxUnwrapped); err != nil {
			return nil, err
		}
	}
	switch {
	case len(found.keys) > 0:
		return &found.Content, nil
	case found.encrypted != "":
		return nil, fmt.Errorf("%w: the key in the PEM data is encrypted: decrypt it with `%s` and load that", ErrUnsupportedEncryption, found.encrypted)
	case found.blocks == 0:
		return nil, fmt.Errorf("%w: there is no PEM block in it", ErrNotKeystore)
	}
	return nil, fmt.Errorf("%w in the PEM data%s", ErrNoKey, found.hint)
}

// maxUnwrapped is how often base64 around PEM is taken off.
const maxUnwrapped = 2

// pemContent is what the blocks held.
type pemContent struct {
	Content
	blocks    int
	encrypted string // the command for an encrypted key
	hint      string // on a block that is not read
}

func (p *pemContent) read(data []byte, wrappings int) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if !looksLikePEM(data) {
		return p.readOther(data, wrappings)
	}
	certs, encrypted := len(p.certs), ""
	err := eachBlock(pemText(data), func(n int, b pemBlock) error {
		p.blocks++
		if b.encrypted() {
			encrypted = decryption(legacyCipher(b.headers), true)
			return nil
		}
		if what := p12.Describe(b.der); b.label == "ENCRYPTED PRIVATE KEY" || what == p12.EncryptedKey && strings.HasSuffix(b.label, "KEY") && !strings.Contains(b.label, "PUBLIC") {
			encrypted = decryption(legacyAlgorithm(b.der), false)
			return nil
		}
		switch err := p.block(b); {
		case errors.Is(err, errDamagedKey):
			return fmt.Errorf("%w: block %d of the PEM data (%s): %w", ErrUnusableKey, n, redact.Clean(b.label, 40), err)
		case err != nil:
			return fmt.Errorf("%w: block %d of the PEM data (%s): %w", ErrNotKeystore, n, redact.Clean(b.label, 40), err)
		}
		return nil
	})
	if encrypted != "" {
		p.encrypted = encrypted
		if len(p.certs) > certs {
			p.encrypted = keepingAll(encrypted)
		}
	}
	return err
}

// block takes what is in a block: a label is wrong often enough, so that the
// content decides between a key, a certificate and PKCS#7.
func (p *pemContent) block(b pemBlock) error {
	what := p12.Describe(b.der)
	switch b.label {
	case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
		switch what {
		case p12.PrivateKey:
			return p.key(b.der)
		case p12.PKCS7:
			return p.pkcs7(b.der)
		case p12.PKCS12:
			p.hint = ", but PKCS#12: load it with LoadPKCS12" // `certutil -encode` calls everything a certificate
			return nil
		}
		return p.certificate(b.der)
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "DSA PRIVATE KEY", "ANY PRIVATE KEY":
		if what == p12.Certificate {
			return p.certificate(b.der)
		}
		return p.key(b.der)
	case "PKCS7", "PKCS #7 SIGNED DATA", "CMS":
		return p.pkcs7(b.der)
	}
	// Under a label that nobody else writes it is what it is, all the same.
	if _, err := x509.ParseCertificate(b.der); err == nil {
		return p.certificate(b.der)
	}
	switch {
	case what == p12.PKCS7:
		return p.pkcs7(b.der)
	case what == p12.PrivateKey && strings.HasSuffix(b.label, "KEY") && !strings.Contains(b.label, "PUBLIC"):
		return p.key(b.der)
	}
	switch b.label {
	case "OPENSSH PRIVATE KEY":
		p.hint = ", only one in OpenSSH's format: convert it with `ssh-keygen -p -m PKCS8 -f key.pem`"
	case "PUBLIC KEY", "RSA PUBLIC KEY":
		p.hint = ", only a public one"
	case "PKCS12", "PFX":
		p.hint = ", but PKCS#12: load it with LoadPKCS12"
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		p.hint = ", only a request for a certificate"
	}
	return nil
}

// readOther reads an input without PEM: DER, or base64 of something.
func (p *pemContent) readOther(data []byte, wrappings int) error {
	p.blocks++
	var err error
	switch what := p12.Describe(data); {
	case what == p12.Certificate:
		err = p.certificate(data)
	case what == p12.PKCS7:
		err = p.pkcs7(data)
	case what == p12.PrivateKey:
		err = p.key(data)
	case what == p12.EncryptedKey:
		p.encrypted = strings.Replace(decryption(legacyAlgorithm(data), false), "-in key.pem", "-inform DER -in key.der", 1)
	case data[0] == asn1.TagSequence|0x20:
		return fmt.Errorf("%w: it is DER: load a .p12 file with LoadPKCS12", ErrNotKeystore)
	default:
		if inner, ok := unwrapped(data); ok && wrappings > 0 {
			p.blocks--
			return p.read(inner, wrappings-1)
		}
		if isJWK(data) {
			return fmt.Errorf("%w: it is JSON: load a JWK with LoadJWK", ErrNotKeystore)
		}
		return fmt.Errorf("%w: there is no PEM block in it%s", ErrNotKeystore, nameNotContent(data))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotKeystore, err)
	}
	return nil
}

// certificate takes a certificate, and those that were joined to it. A TRUSTED
// CERTIFICATE has openssl's own notes after it, which are passed over.
func (p *pemContent) certificate(der []byte) error {
	var raw asn1.RawValue
	rest, err := asn1.Unmarshal(der, &raw)
	if err == nil {
		der = raw.FullBytes
	}
	cert, err := parseCertificate(der)
	if err != nil {
		return err
	}
	p.add(cert)
	if _, err := asn1.Unmarshal(rest, &raw); err == nil && p12.Describe(raw.FullBytes) == p12.Certificate {
		return p.certificate(rest)
	}
	return nil
}

// pkcs7 takes the certificates out of SignedData (RFC 2315, section 9.1).
func (p *pemContent) pkcs7(ber []byte) error {
	der, err := p12.DER(ber)
	if err != nil {
		return fmt.Errorf("PKCS#7: %w", err)
	}
	for _, outer := range elements(der) {
		for _, content := range elements(outer.Bytes) {
			if content.Class != asn1.ClassContextSpecific {
				continue
			}
			for _, signed := range elements(content.Bytes) {
				for _, field := range elements(signed.Bytes) {
					if field.Class != asn1.ClassContextSpecific || field.Tag != 0 {
						continue
					}
					left := len(field.Bytes)
					for _, cert := range elements(field.Bytes) {
						left -= len(cert.FullBytes)
						if err := p.certificate(cert.FullBytes); err != nil {
							return err
						}
					}
					if left > 0 {
						return errors.New("PKCS#7 with a damaged certificate, or more than a hundred")
					}
				}
			}
		}
	}
	return nil
}

func (p *pemContent) key(der []byte) error {
	key, err := parsePrivateKey(der, p.budget)
	if err != nil {
		return err
	}
	p.keys = append(p.keys, namedKey{key: key})
	return nil
}

// The commands that decrypt a key. OpenSSL 3 keeps some ciphers in a provider
// that has to be named.
const (
	legacyProvider = " -provider legacy -provider default"
	decryptPKCS8   = "openssl pkey%s -in key.pem -out decrypted.pem"
	decryptPKCS1   = "openssl rsa%s -in key.pem -out decrypted.pem"
	decryptAll     = "openssl storeutl%s -out decrypted.pem keystore.pem"
)

func decryption(legacy, pkcs1 bool) string {
	command, provider := decryptPKCS8, ""
	if pkcs1 {
		command = decryptPKCS1
	}
	if legacy {
		provider = legacyProvider
	}
	return fmt.Sprintf(command, provider)
}

// keepingAll returns the command that writes everything in the file, decrypted:
// the others would leave out the certificates beside the key.
func keepingAll(command string) string {
	if strings.Contains(command, legacyProvider) {
		return fmt.Sprintf(decryptAll, legacyProvider)
	}
	return fmt.Sprintf(decryptAll, "")
}

var dekInfo = regexp.MustCompile(`DEK-Info:\s*([A-Za-z0-9-]+)`)

// legacyCipher reports whether OpenSSL 3 needs its legacy provider for a key in
// the old form.
func legacyCipher(headers string) bool {
	name := ""
	if m := dekInfo.FindStringSubmatch(headers); m != nil {
		name = strings.ToUpper(m[1])
	}
	for _, current := range []string{"DES-EDE3", "AES-", "CAMELLIA-", "ARIA-"} {
		if strings.HasPrefix(name, current) {
			return false
		}
	}
	return true
}

// legacyAlgorithm is legacyCipher for PKCS#8.
func legacyAlgorithm(der []byte) bool {
	var info struct {
		Algorithm struct {
			ID         asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Data asn1.RawValue
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return false
	}
	switch id := info.Algorithm.ID.String(); {
	case id == "1.2.840.113549.1.5.13": // PBES2: its scheme decides
		var params struct {
			KDF, Scheme struct {
				ID         asn1.ObjectIdentifier
				Parameters asn1.RawValue `asn1:"optional"`
			}
		}
		if _, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &params); err != nil {
			return false
		}
		switch params.Scheme.ID.String() {
		case "1.3.14.3.2.7", "1.2.840.113549.3.2", "1.2.840.113549.3.4": // DES, RC2, RC4
			return true
		}
		return false
	case strings.HasPrefix(id, "1.2.840.113549.1.5."): // PBES1
		return true
	case strings.HasPrefix(id, "1.2.840.113549.1.12.1."): // RFC 7292: 3DES is not legacy
		return id != "1.2.840.113549.1.12.1.3" && id != "1.2.840.113549.1.12.1.4"
	}
	return false
}
