package inspect

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

var (
	oidOrganizationIdentifier = asn1.ObjectIdentifier{2, 5, 4, 97}
	oidSerialNumber           = asn1.ObjectIdentifier{2, 5, 4, 5}
)

// OrgNumber returns the organisation number in a certificate's subject:
// organizationIdentifier as SEID 2.0 has it, serialNumber as SEID 1 had it.
// It is empty if there is none.
func OrgNumber(c *x509.Certificate) string {
	for _, oid := range []asn1.ObjectIdentifier{oidOrganizationIdentifier, oidSerialNumber} {
		for _, name := range c.Subject.Names {
			value, ok := name.Value.(string)
			if !ok || !name.Type.Equal(oid) {
				continue
			}
			if n, err := maskinporten.ParseOrgNumber(strings.TrimSpace(value)); err == nil {
				return n
			}
		}
	}
	return ""
}

// unnamed is an organizationIdentifier as package pkix prints it: by its number,
// with the value in hexadecimal DER.
var unnamed = regexp.MustCompile(`2\.5\.4\.97=#([0-9a-f]+)`)

// Name is a subject or an issuer in one line, fit to be printed.
func Name(n pkix.Name) string {
	return redact.Clean(unnamed.ReplaceAllStringFunc(n.String(), func(s string) string {
		der, err := hex.DecodeString(unnamed.FindStringSubmatch(s)[1])
		var value string
		if err != nil {
			return s
		}
		if _, err := asn1.Unmarshal(der, &value); err != nil {
			return s
		}
		return "organizationIdentifier=" + value
	}), 200)
}

// Environment returns for which Maskinporten a certificate was issued, by the
// name of its issuer: "prod", "test", or nothing if the issuer is not one of
// the two that issue virksomhetssertifikater.
func Environment(c *x509.Certificate) string {
	issuer := strings.ToLower(c.Issuer.CommonName)
	if !strings.Contains(issuer, "buypass") && !strings.Contains(issuer, "commfides") {
		return ""
	}
	if strings.Contains(issuer, "test") {
		return "test"
	}
	return "prod"
}
