package maskinportentest

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// readCertificates reads certificates in PEM, of which there is one at least.
func readCertificates(data []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("a certificate cannot be read: %w", err)
		}
		certificates = append(certificates, c)
	}
	if certificates == nil {
		return nil, errors.New("there is no certificate in PEM")
	}
	return certificates, nil
}
