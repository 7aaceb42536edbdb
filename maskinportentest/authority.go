package maskinportentest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// An RSA key takes a tenth of a second to make, so they are made once a
// process, when first needed.
var (
	sharedKey      = sync.OnceValue(newKey)
	firstTokenKey  = sync.OnceValue(newKey)
	secondTokenKey = sync.OnceValue(newKey)
	altinnKey      = sync.OnceValue(newKey)
	testAuthority  = sync.OnceValue(func() *authority { return newAuthority("Test4 ", false) })
	prodAuthority  = sync.OnceValue(func() *authority { return newAuthority("", true) })
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: making a key: %v", err))
	}
	return key
}

// authority is a root and an intermediate, named as Buypass names its own.
type authority struct {
	root, intermediate issuer
	production         bool
}

type issuer struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// CAs are valid at every time that a test may live in: in a bubble of synctest
// that is the year 2000.
var (
	firstDay = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	lastDay  = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newAuthority(test string, production bool) *authority {
	ca := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject:               pkix.Name{Country: []string{"NO"}, Organization: []string{"maskinportentest"}, CommonName: name},
			NotBefore:             firstDay,
			NotAfter:              lastDay,
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
			IsCA:                  true,
			BasicConstraintsValid: true,
		}
	}
	a := &authority{production: production}
	a.root.key = newKey()
	a.root.certificate = ca("Buypass Class 3 " + test + "Root CA G2 ST")
	a.root.certificate = a.root.issue(a.root.certificate, a.root.key.Public())
	a.intermediate.key = newKey()
	a.intermediate.certificate = a.root.issue(ca("Buypass Class 3 "+test+"CA G2 ST Business"), a.intermediate.key.Public())
	return a
}

func (i issuer) issue(template *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: %v", err))
	}
	template.SerialNumber = serial
	raw, err := x509.CreateCertificate(rand.Reader, template, i.certificate, public, i.key)
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: issuing a certificate: %v", err))
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: issuing a certificate: %v", err))
	}
	return certificate
}
