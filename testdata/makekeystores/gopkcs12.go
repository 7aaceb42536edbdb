package main

import (
	"crypto/x509"
	"fmt"
	"os"

	"software.sslmate.com/src/go-pkcs12"
)

// encode writes the leaf, its key and its chain with one of go-pkcs12's encoders.
func encode(encoder, password, out string) error {
	blocks, err := load("leaf", "ca", "root", "key")
	if err != nil {
		return err
	}
	var certs []*x509.Certificate
	for _, der := range blocks[:3] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		certs = append(certs, cert)
	}
	key, err := x509.ParsePKCS8PrivateKey(blocks[3])
	if err != nil {
		return err
	}
	var file []byte
	switch encoder {
	case "LegacyRC2", "LegacyDES", "Modern2023", "Modern2026", "Passwordless":
		enc := map[string]*pkcs12.Encoder{
			"LegacyRC2": pkcs12.LegacyRC2, "LegacyDES": pkcs12.LegacyDES, "Modern2023": pkcs12.Modern2023,
			"Modern2026": pkcs12.Modern2026, "Passwordless": pkcs12.Passwordless,
		}[encoder]
		file, err = enc.Encode(key, certs[0], certs[1:], password)
	case "TrustStore":
		file, err = pkcs12.Modern2023.EncodeTrustStore(certs, password)
	default:
		err = fmt.Errorf("no such encoder: %s", encoder)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(out, file, 0o644)
}
