package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// authority is a CA of the test's own: for servers, for an intercepting proxy,
// and for virksomhetssertifikater that say where their revocation list is.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

var clientKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newAuthority(t *testing.T, name string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	a.cert = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		NotBefore: time.Now().AddDate(-5, 0, 0), NotAfter: time.Now().AddDate(10, 0, 0),
	}, &key.PublicKey)
	return a
}

func (a *authority) issue(template *x509.Certificate, public any) *x509.Certificate {
	a.t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent := a.cert
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// pem is the CA's certificate, for SSL_CERT_FILE.
func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// server is a certificate for names and addresses, valid around now + offset.
func (a *authority) server(offset time.Duration, hosts ...string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	middle := time.Now().Add(offset)
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: hosts[0]}, NotBefore: middle.AddDate(0, -1, 0), NotAfter: middle.AddDate(0, 1, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert := a.issue(template, &key.PublicKey)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// enterprise is a virksomhetssertifikat that names where to ask whether it is
// revoked.
func (a *authority) enterprise(crl, ocsp string) *x509.Certificate {
	template := &x509.Certificate{
		Subject: pkix.Name{
			CommonName: "TESTVIRKSOMHET", Country: []string{"NO"},
			ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "NTRNO-" + maskinportentest.DefaultOrgNumber}},
		},
		NotBefore: time.Now().AddDate(0, 0, -1), NotAfter: time.Now().AddDate(3, 0, -1),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if crl != "" {
		template.CRLDistributionPoints = []string{crl}
	}
	if ocsp != "" {
		template.OCSPServer = []string{ocsp}
	}
	return a.issue(template, &clientKey().PublicKey)
}

// store is a .p12 file with a certificate and those of its issuers.
func store(t *testing.T, leaf *x509.Certificate, chain ...*x509.Certificate) []byte {
	t.Helper()
	file, err := pkcs12.Modern.Encode(clientKey(), leaf, chain, "secret-password")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// crl is a revocation list.
func (a *authority) crl(revoked ...*x509.Certificate) []byte {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: time.Now().Add(-time.Hour)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}
