package inspect

import (
	"crypto/x509"
	"encoding/asn1"
	"time"
)

var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

// pkcs7 reads a chain of certificates: SignedData in which nothing is signed
// (RFC 2315, section 9.1), which Windows calls .p7b.
func (f *File) pkcs7(data []byte, now time.Time) bool {
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,explicit"`
	}
	if _, err := asn1.Unmarshal(data, &info); err != nil || !info.Type.Equal(oidSignedData) {
		return false
	}
	f.Kind = PKCS7
	var signed struct {
		Version      int
		Algorithms   asn1.RawValue `asn1:"set"`
		Content      asn1.RawValue
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		CRLs         asn1.RawValue `asn1:"optional,tag:1"`
		Signers      asn1.RawValue `asn1:"set"`
	}
	if _, err := asn1.Unmarshal(info.Content.Bytes, &signed); err != nil {
		f.Verdict.Text = "the PKCS#7 data is damaged, or not DER"
		return true
	}
	certs, err := x509.ParseCertificates(signed.Certificates.Bytes)
	if err != nil {
		f.Verdict.Text = "a certificate in the PKCS#7 data is damaged"
		return true
	}
	f.describe(certs, now)
	f.Verdict = Verdict{Opened: true, Text: chainVerdict(certs, now)}
	return true
}
