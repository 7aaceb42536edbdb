package inspect

import (
	"crypto/x509"
	"encoding/asn1"
	"strings"

	"github.com/maskinporten-go/maskinporten"
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
