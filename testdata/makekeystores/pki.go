package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

var (
	begin = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)
)

var organizationIdentifier = asn1.ObjectIdentifier{2, 5, 4, 97}

// authority names a CA as Buypass does.
func authority(name string) pkix.Name {
	return pkix.Name{
		Country: []string{"NO"}, Organization: []string{"Buypass AS"}, CommonName: name,
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: organizationIdentifier, Value: "NTRNO-983163327"}},
	}
}

// organisation is the subject of a virksomhetssertifikat as SEID 2 has it.
func organisation(name string) pkix.Name {
	return pkix.Name{
		Country: []string{"NO"}, Organization: []string{name}, CommonName: name,
		ExtraNames: []pkix.AttributeTypeAndValue{{Type: organizationIdentifier, Value: "NTRNO-910753614"}},
	}
}

type pki struct {
	dir    string
	serial int64
	err    error
}

func makePKI(dir string) error {
	p := &pki{dir: dir, serial: 1}
	rootKey, caKey, key, other := p.rsa("", 2048), p.rsa("", 2048), p.rsa("key", 2048), p.rsa("other", 2048)
	third := p.rsa("third", 2048)
	weak := p.rsa("weak", 1024)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	p.key("ec", ec)

	root := p.cert("root", &x509.Certificate{Subject: authority("Buypass Class 3 Test4 Root CA G2 ST"), IsCA: true}, nil, rootKey, rootKey)
	ca := p.cert("ca", &x509.Certificate{Subject: authority("Buypass Class 3 Test4 CA G2 ST Business"), IsCA: true}, root, caKey, rootKey)
	prodRoot := p.cert("prodroot", &x509.Certificate{Subject: authority("Buypass Class 3 Root CA G2 ST"), IsCA: true}, nil, rootKey, rootKey)
	prodCA := p.cert("prodca", &x509.Certificate{Subject: authority("Buypass Class 3 CA G2 ST Business"), IsCA: true}, prodRoot, caKey, rootKey)
	p.cert("stray", &x509.Certificate{Subject: pkix.Name{CommonName: "Stray"}, KeyUsage: x509.KeyUsageDigitalSignature}, nil, other, other)

	leaf := func(file string, parent *x509.Certificate, key crypto.Signer, change func(*x509.Certificate)) {
		c := &x509.Certificate{Subject: organisation("MASKINPORTEN FOR GO"), KeyUsage: x509.KeyUsageDigitalSignature}
		if change != nil {
			change(c)
		}
		p.cert(file, c, parent, key, caKey)
	}
	leaf("leaf", ca, key, nil)
	leaf("otherleaf", ca, other, func(c *x509.Certificate) { c.Subject = organisation("MASKINPORTEN FOR GO 2") })
	leaf("thirdleaf", ca, third, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	leaf("othersign", ca, other, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment })
	leaf("production", prodCA, key, nil)
	leaf("sign", ca, key, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment })
	leaf("enc", ca, key, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment })
	leaf("nousage", ca, key, func(c *x509.Certificate) { c.KeyUsage = 0 })
	leaf("expired", ca, key, func(c *x509.Certificate) { c.NotAfter = begin.AddDate(3, 0, 0) })
	leaf("future", ca, key, func(c *x509.Certificate) { c.NotBefore = end.AddDate(-1, 0, 0) })
	leaf("weakleaf", ca, weak, nil)
	leaf("ecleaf", ca, ec, nil)
	leaf("seid1", ca, key, func(c *x509.Certificate) {
		c.Subject = pkix.Name{Country: []string{"NO"}, Organization: []string{"MASKINPORTEN FOR GO"}, CommonName: "MASKINPORTEN FOR GO", SerialNumber: "910753614"}
	})

	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: begin, NextUpdate: end}, ca, caKey)
	if err != nil {
		return err
	}
	p.write("crl", pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: crl}))
	return p.err
}

func (p *pki) rsa(file string, bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		p.err = err
	}
	if file != "" {
		p.key(file, key)
	}
	return key
}

func (p *pki) key(file string, key crypto.Signer) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.err = err
	}
	p.write(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// cert signs c for key with the parent's key; no parent means self-signed.
func (p *pki) cert(file string, c, parent *x509.Certificate, key, signer crypto.Signer) *x509.Certificate {
	c.SerialNumber = big.NewInt(p.serial)
	p.serial++
	if c.NotBefore.IsZero() {
		c.NotBefore = begin
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = end
	}
	c.BasicConstraintsValid = true
	if c.IsCA {
		c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
	if err != nil {
		p.err = err
		return c
	}
	p.write(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	made, err := x509.ParseCertificate(der)
	if err != nil {
		p.err = err
	}
	return made
}

func (p *pki) write(file string, b []byte) {
	if err := os.WriteFile(filepath.Join(p.dir, file+".pem"), b, 0o644); err != nil {
		p.err = err
	}
}

// load reads the files that makePKI wrote.
func load(names ...string) (blocks [][]byte, err error) {
	for _, name := range names {
		b, err := os.ReadFile(name + ".pem")
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(b)
		blocks = append(blocks, block.Bytes)
	}
	return blocks, nil
}
