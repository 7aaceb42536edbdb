package p12

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
)

// errKind is a certificate or a key that crypto/x509 does not read. One such stray must not hinder the rest.
var errKind = errors.New("of no kind that crypto/x509 reads")

// store decodes what was collected.
func (o *opener) store() (*Store, error) {
	s := new(Store)
	var stray error
	for _, bag := range o.certs {
		cert, err := parseCertificate(bag)
		if err != nil {
			stray = err
			continue
		}
		s.Certificates = append(s.Certificates, cert)
	}
	if len(s.Certificates) == 0 && stray != nil {
		return nil, stray
	}
	stray = nil
	for _, bag := range o.keys {
		key, err := o.decode(bag)
		switch {
		case errors.Is(err, errKind):
			stray = err
		case err != nil:
			return nil, err
		default:
			s.Keys = append(s.Keys, Key{FriendlyName: bag.name, PrivateKey: key})
		}
	}
	if len(s.Keys) == 0 && stray != nil {
		return nil, stray
	}
	return s, nil
}

func parseCertificate(bag asn1.RawValue) (*x509.Certificate, error) {
	var der []byte
	if err := unmarshal(bag.Bytes, &der); err != nil {
		return nil, err
	}
	if len(der) > maxCert {
		return nil, malformed("certificate %w: %d bytes", errKind, len(der))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, malformed("certificate %w: %w", errKind, err)
	}
	return cert, nil
}

// decode takes the encryption off a key and parses it.
func (o *opener) decode(bag keyBag) (crypto.PrivateKey, error) {
	pkcs8 := bag.der
	if bag.shrouded {
		var info struct {
			Algorithm pkix.AlgorithmIdentifier
			Data      []byte
		}
		if err := unmarshal(bag.der, &info); err != nil {
			return nil, err
		}
		how, err := parseEncryption(info.Algorithm)
		if err != nil {
			return nil, err
		}
		if pkcs8, err = how.decrypt(info.Data, o.secret, &o.budget); err != nil {
			return nil, err
		}
		if pkcs8, _, err = toDER(pkcs8); err != nil {
			return nil, malformed("private key: %w", err)
		}
	}
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, malformed("private key %w: %w", errKind, err)
	}
	return key, nil
}
