package benchmarks

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

const scope = "skatteetaten:inntekt"

var request = maskinporten.Request{Scope: scope}

var environment = maskinporten.Environment{
	Issuer:   "https://maskinporten.example/",
	TokenURL: "https://maskinporten.example/token",
}

// newClient is ours, with a three-certificate chain, over a token endpoint.
func newClient(t testing.TB, tokens http.RoundTripper, cred maskinporten.CredentialSource) *maskinporten.Client {
	t.Helper()
	if cred == nil {
		cred = newCredential(t, key(t, 2048))
	}
	client, err := maskinporten.New(maskinporten.Config{
		Environment: environment,
		ClientID:    "7e1b6a6e-7a43-4c0c-8b1b-2f4c26d3a4b9",
		Credential:  cred,
		HTTPClient:  &http.Client{Transport: tokens},
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

var keys sync.Map // bits → *rsa.PrivateKey: a key of 4096 bits takes seconds to make

func key(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	if k, ok := keys.Load(bits); ok {
		return k.(*rsa.PrivateKey)
	}
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	kept, _ := keys.LoadOrStore(bits, k)
	return kept.(*rsa.PrivateKey)
}

// newCredential puts signer under a virksomhetssertifikat with its
// intermediate and root, as Buypass delivers them.
func newCredential(t testing.TB, signer crypto.Signer) *maskinporten.Credential {
	t.Helper()
	authority := key(t, 2048)
	root := template("Class 3 Root CA", true)
	rootDER := certificate(t, root, root, authority.Public(), authority)
	issuer := template("Class 3 CA G2 ST Business", true)
	issuerDER := certificate(t, issuer, rootDER, authority.Public(), authority)
	leaf := template("PENSJONSKASSEN AS", false)
	leafDER := certificate(t, leaf, issuerDER, signer.Public(), authority)
	cred, err := maskinporten.NewCredential(signer, leafDER, issuerDER, rootDER)
	if err != nil {
		t.Fatal(err)
	}
	return cred
}

func template(name string, ca bool) *x509.Certificate {
	subject := pkix.Name{Country: []string{"NO"}, Organization: []string{"Example AS"}, CommonName: name}
	usage := x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if !ca {
		usage = x509.KeyUsageDigitalSignature
		subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "NTRNO-" + owner}}
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(3 * 365 * 24 * time.Hour),
		KeyUsage:              usage,
		IsCA:                  ca,
		BasicConstraintsValid: true,
		CRLDistributionPoints: []string{"http://crl.example.no/CLASS3.crl"},
		OCSPServer:            []string{"http://ocsp.example.no/"},
	}
}

func certificate(t testing.TB, cert, parent *x509.Certificate, public crypto.PublicKey, authority crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, public, authority)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// owner is the certificate's organisation, synthetic as Tenor makes them.
const owner = "310000000"
