package keystore

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"time"
)

// Bounds on PEM input, as internal/p12 has them on PKCS#12.
const (
	maxPEM     = 2 << 20 // bytes, all inputs together
	maxPEMKeys = 16
	maxPEMKey  = 6 << 10 // bytes of DER
	maxPEMCert = 64 << 10
)

// PEM reads a private key and certificates from PEM, in any order, from one or
// several inputs. Text between the blocks, such as the bag attributes that
// openssl writes, does not matter. An encrypted key is refused with the command
// that decrypts it.
func PEM(blocks ...[]byte) (*Key, error) {
	var found pemContent
	if err := found.readAll(blocks...); err != nil {
		return nil, err
	}
	return choose(found.keys, found.certs, time.Now(), "leave only one of them in the PEM data")
}

// pemContent is what the blocks held.
type pemContent struct {
	blocks    int
	keys      []namedKey
	certs     []*x509.Certificate
	encrypted string // the command for an encrypted key
	hint      string // on a block that is not read
}

// readAll reads several inputs. That there is no key in them is an error.
func (p *pemContent) readAll(blocks ...[]byte) error {
	size := 0
	for _, data := range blocks {
		if size += len(data); size > maxPEM {
			return fmt.Errorf("%w: the PEM data is over 2 MiB", ErrNotKeystore)
		}
		if err := p.read(data); err != nil {
			return err
		}
	}
	switch {
	case len(p.keys) > 0:
		return nil
	case p.encrypted != "":
		return fmt.Errorf("%w: the key in the PEM data is encrypted: decrypt it with `%s` and load that", ErrUnsupportedEncryption, p.encrypted)
	case p.blocks == 0:
		return notPEM(blocks)
	}
	return fmt.Errorf("%w in the PEM data%s", ErrNoKey, p.hint)
}

func (p *pemContent) read(data []byte) error {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // Windows' editors begin with it, and the first block would be lost
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		p.blocks++
		var err error
		switch block.Type {
		case "CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE":
			err = p.certificate(block.Bytes)
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" { // RFC 1421, as openssl wrote keys before PKCS#8
				p.encrypted = "openssl rsa -in key.pem -out decrypted.pem"
				continue
			}
			err = p.key(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			p.encrypted = "openssl pkey -in key.pem -out decrypted.pem"
		case "OPENSSH PRIVATE KEY":
			p.hint = ", only one in OpenSSH's format: convert it with `ssh-keygen -p -m PKCS8 -f key.pem`"
		case "PUBLIC KEY", "RSA PUBLIC KEY":
			p.hint = ", only a public one"
		case "PKCS12":
			p.hint = ", but PKCS#12: load it with LoadPKCS12"
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *pemContent) certificate(der []byte) error {
	// A TRUSTED CERTIFICATE has openssl's own notes after it.
	var raw asn1.RawValue
	if _, err := asn1.Unmarshal(der, &raw); err == nil {
		der = raw.FullBytes
	}
	if len(der) > maxPEMCert {
		return fmt.Errorf("%w: a certificate of %d bytes", ErrNotKeystore, len(der))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("%w: a PEM certificate: %w", ErrNotKeystore, err)
	}
	p.certs = append(p.certs, cert)
	return nil
}

func (p *pemContent) key(der []byte) error {
	if len(p.keys) == maxPEMKeys || len(der) > maxPEMKey {
		return fmt.Errorf("%w: more than %d keys, or one over %d bytes, in the PEM data", ErrNotKeystore, maxPEMKeys, maxPEMKey)
	}
	key, err := parsePEMKey(der)
	if err != nil {
		return err
	}
	p.keys = append(p.keys, namedKey{key: key})
	return nil
}

// parsePEMKey goes by what the block holds; its label is wrong often enough.
func parsePEMKey(der []byte) (crypto.PrivateKey, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, fmt.Errorf("%w: the PEM data has a damaged one, or one of a kind that Go does not know", ErrUnusableKey)
}

func looksLikePEM(data []byte) bool { return bytes.Contains(data, []byte("-----BEGIN ")) }

// notPEM says what was taken for PEM by mistake.
func notPEM(blocks [][]byte) error {
	for _, data := range blocks {
		if len(data) > 0 && data[0] == asn1.TagSequence|0x20 {
			return fmt.Errorf("%w: it is DER: load a .p12 file with LoadPKCS12, or convert a certificate with `openssl x509 -inform DER -in certificate.cer -out certificate.pem`", ErrNotKeystore)
		}
		if looksLikePEM(data) {
			return fmt.Errorf("%w: a PEM block is cut off or damaged", ErrNotKeystore)
		}
	}
	return fmt.Errorf("%w: there is no PEM block in it", ErrNotKeystore)
}
