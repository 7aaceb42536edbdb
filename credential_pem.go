package maskinporten

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// LoadPEM reads a private key and certificates from PEM, in any order, from
// one or several inputs.
func LoadPEM(blocks ...[]byte) (*Credential, error) {
	var (
		signer crypto.Signer
		certs  []*x509.Certificate
	)
	for _, data := range blocks {
		for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
			switch block.Type {
			case "CERTIFICATE":
				cert, err := x509.ParseCertificate(block.Bytes)
				if err != nil {
					return nil, fmt.Errorf("maskinporten: reading a PEM certificate: %w", err)
				}
				certs = append(certs, cert)
			case "PRIVATE KEY", "RSA PRIVATE KEY":
				key, err := parsePrivateKey(block.Bytes)
				if err != nil {
					return nil, err
				}
				signer = key
			}
		}
	}
	if signer == nil {
		return nil, fmt.Errorf("%w in the PEM data", ErrNoKey)
	}
	return NewCredential(signer, certs...)
}

func parsePrivateKey(der []byte) (crypto.Signer, error) {
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w that can be read in the PEM data", ErrNoKey)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it is %T", ErrUnusableKey, key)
	}
	return signer, nil
}
