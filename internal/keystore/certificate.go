package keystore

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// certificate is an X.509 certificate as far as it can be read. With a problem
// it is one that crypto/x509 does not parse, and has only those fields that
// outline could fill.
type certificate struct {
	*x509.Certificate
	problem error

	name, encryption string // in a PKCS#12 file
}

// parseCertificate fails only for what is no certificate at all. Certificates
// that crypto/x509 does not parse are out there, some of Norwegian test
// organisations among them: a negative serial number, an extension that is
// critical and must not be. Their key is found all the same, so that the error
// can name the certificate and what is wrong with it.
func parseCertificate(der []byte) (certificate, error) {
	if len(der) > p12.MaxCertificate {
		return certificate{}, fmt.Errorf("a certificate of %d bytes", len(der))
	}
	cert, err := x509.ParseCertificate(der)
	if err == nil {
		return certificate{Certificate: cert}, nil
	}
	problem := errors.New(redact.Clean(strings.TrimPrefix(err.Error(), "x509: "), 200))
	partial := outline(der)
	if partial == nil {
		return certificate{}, fmt.Errorf("not a certificate: %w", problem)
	}
	return certificate{Certificate: partial, problem: problem}, nil
}

// parsed takes certificates that crypto/x509 has parsed.
func parsed(certs []*x509.Certificate) (all []certificate) {
	for _, c := range certs {
		if c != nil {
			all = append(all, certificate{Certificate: c})
		}
	}
	return all
}

// outline reads of a certificate (RFC 5280, section 4.1) what this package looks
// at, and minds nothing else. It is nil if there is not even that.
func outline(der []byte) *x509.Certificate {
	outer := elements(der)
	if len(outer) != 1 {
		return nil
	}
	parts := elements(outer[0].Bytes)
	if len(parts) < 3 || parts[0].Tag != asn1.TagSequence || parts[2].Tag != asn1.TagBitString {
		return nil
	}
	tbs := elements(parts[0].Bytes)
	if len(tbs) > 0 && tbs[0].Class == asn1.ClassContextSpecific {
		tbs = tbs[1:] // the version
	}
	if len(tbs) < 6 || tbs[0].Tag != asn1.TagInteger {
		return nil
	}
	issuer, validity, subject, key := tbs[2], tbs[3], tbs[4], tbs[5]
	for _, sequence := range []asn1.RawValue{tbs[1], issuer, validity, subject, key} {
		if sequence.Tag != asn1.TagSequence || !sequence.IsCompound {
			return nil
		}
	}
	c := &x509.Certificate{
		Raw:                     outer[0].FullBytes,
		RawTBSCertificate:       parts[0].FullBytes,
		RawSubjectPublicKeyInfo: key.FullBytes,
		RawSubject:              subject.FullBytes,
		RawIssuer:               issuer.FullBytes,
		Subject:                 nameOf(subject),
		Issuer:                  nameOf(issuer),
	}
	unmarshals(tbs[0], &c.SerialNumber)
	if times := elements(validity.Bytes); len(times) == 2 {
		c.NotBefore, c.NotAfter = timeOf(times[0]), timeOf(times[1])
	}
	var bits asn1.BitString
	if info := elements(key.Bytes); len(info) == 2 && unmarshals(info[1], &bits) {
		if public, err := x509.ParsePKCS1PublicKey(bits.Bytes); err == nil {
			c.PublicKey, c.PublicKeyAlgorithm = public, x509.RSA
		}
	}
	for _, field := range tbs[6:] {
		if field.Class == asn1.ClassContextSpecific && field.Tag == 3 {
			c.KeyUsage = keyUsageOf(field)
		}
	}
	return c
}

// elements returns the elements that b consists of, up to where it is damaged.
func elements(b []byte) (all []asn1.RawValue) {
	for len(b) > 0 {
		var element asn1.RawValue
		rest, err := asn1.Unmarshal(b, &element)
		if err != nil || len(all) == 100 {
			return all
		}
		all, b = append(all, element), rest
	}
	return all
}

func unmarshals(element asn1.RawValue, v any) bool {
	rest, err := asn1.Unmarshal(element.FullBytes, v)
	return err == nil && len(rest) == 0
}

// nameOf reads the attributes of a Name, whatever characters are in them.
func nameOf(name asn1.RawValue) (n pkix.Name) {
	var names pkix.RDNSequence
	for _, set := range elements(name.Bytes) {
		for _, attribute := range elements(set.Bytes) {
			pair := elements(attribute.Bytes)
			var oid asn1.ObjectIdentifier
			if len(pair) != 2 || !unmarshals(pair[0], &oid) {
				continue
			}
			names = append(names, pkix.RelativeDistinguishedNameSET{{Type: oid, Value: textOf(pair[1])}})
		}
	}
	n.FillFromRDNSequence(&names)
	return n
}

func textOf(value asn1.RawValue) string {
	if value.Tag != asn1.TagBMPString {
		return strings.ToValidUTF8(string(value.Bytes), "")
	}
	units := make([]uint16, len(value.Bytes)/2)
	for i := range units {
		units[i] = uint16(value.Bytes[2*i])<<8 | uint16(value.Bytes[2*i+1])
	}
	return string(utf16.Decode(units))
}

// timeOf returns zero for a time that it does not read.
func timeOf(value asn1.RawValue) (t time.Time) {
	if !unmarshals(value, &t) {
		return time.Time{}
	}
	return t.UTC()
}

var (
	oidKeyUsage       = asn1.ObjectIdentifier{2, 5, 29, 15}
	tagExtensionsList = byte(asn1.TagSequence | 0x20)
)

func keyUsageOf(extensions asn1.RawValue) (usage x509.KeyUsage) {
	list := elements(extensions.Bytes)
	if len(list) != 1 || list[0].FullBytes[0] != tagExtensionsList {
		return 0
	}
	for _, extension := range elements(list[0].Bytes) {
		parts := elements(extension.Bytes)
		var (
			oid  asn1.ObjectIdentifier
			bits asn1.BitString
		)
		if len(parts) < 2 || !unmarshals(parts[0], &oid) || !oid.Equal(oidKeyUsage) {
			continue
		}
		if _, err := asn1.Unmarshal(parts[len(parts)-1].Bytes, &bits); err != nil {
			continue
		}
		for i := range 9 {
			if bits.At(i) != 0 {
				usage |= 1 << i
			}
		}
		return usage
	}
	return 0
}

// same reports whether c and other are one certificate.
func (c certificate) same(other certificate) bool { return bytes.Equal(c.Raw, other.Raw) }

// selfIssued reports whether c is a root.
func (c certificate) selfIssued() bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }
