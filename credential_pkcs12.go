package maskinporten

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// ErrWrongPassword is what a keystore answers to a password that is not its own.
var ErrWrongPassword = errors.New("maskinporten: wrong password")

// LoadPKCS12 reads a virksomhetssertifikat as Buypass and Commfides deliver
// it, a .p12 or .pfx file. Of the two or three files that the issuer sends,
// take the one whose Key Usage has Digital Signature.
func LoadPKCS12(data []byte, password string) (*Credential, error) {
	key, leaf, others, err := pkcs12.DecodeChain(data, password)
	switch {
	case errors.Is(err, pkcs12.ErrIncorrectPassword):
		return nil, fmt.Errorf("%w for the PKCS#12 file", ErrWrongPassword)
	case err != nil:
		return nil, fmt.Errorf("maskinporten: reading the PKCS#12 file: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it is %T", ErrUnusableKey, key)
	}
	return NewCredential(signer, append([]*x509.Certificate{leaf}, others...)...)
}
