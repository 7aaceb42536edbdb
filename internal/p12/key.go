package p12

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"

	"software.sslmate.com/src/go-pkcs12"
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
		key, err := o.decode(bag, s.Certificates)
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

// decode takes the encryption off a key and lets go-pkcs12 decode it, alone with a certificate in a file made for it.
func (o *opener) decode(bag keyBag, certs []*x509.Certificate) (crypto.PrivateKey, error) {
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
	key, err := decodePlain(pkcs8, certs)
	if err != nil {
		return nil, malformed("private key %w: %w", errKind, err)
	}
	return key, nil
}

func decodePlain(pkcs8 []byte, certs []*x509.Certificate) (crypto.PrivateKey, error) {
	if len(certs) == 0 { // go-pkcs12 does not return a key without a certificate
		return x509.ParsePKCS8PrivateKey(pkcs8)
	}
	file, err := plainFile(pkcs8, certs[0])
	if err != nil {
		return nil, err
	}
	key, _, _, err := pkcs12.DecodeChain(file, "")
	return key, err
}

// plainFile makes a PKCS#12 file in the shape that go-pkcs12 reads: DER, one safe, one certificate, one key, no attributes.
// It has neither encryption nor MAC, as pkcs12.Passwordless writes them, and never leaves the process.
func plainFile(pkcs8 []byte, cert *x509.Certificate) ([]byte, error) {
	type certBag struct {
		ID   asn1.ObjectIdentifier
		Data []byte `asn1:"tag:0,explicit"`
	}
	type bag struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type info struct {
		Type    asn1.ObjectIdentifier
		Content []byte `asn1:"tag:0,explicit"`
	}
	certDER, err := asn1.Marshal(certBag{oidX509Certificate, cert.Raw})
	if err != nil {
		return nil, err
	}
	safe, err := asn1.Marshal([]bag{{oidCertBag, explicit(certDER)}, {oidKeyBag, explicit(pkcs8)}})
	if err != nil {
		return nil, err
	}
	content, err := asn1.Marshal([]info{{oidData, safe}})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(struct {
		Version int
		Content info
	}{3, info{oidData, content}})
}

func explicit(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}
