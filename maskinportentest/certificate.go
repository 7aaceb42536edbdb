package maskinportentest

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/maskinporten-go/maskinporten"
)

// Certificate describes a virksomhetssertifikat, which its methods issue under
// a test CA of this package. The zero value is one that the default client's
// owner could have bought: valid, RSA, with Digital Signature.
//
// All certificates are of one key, made once per process, unless they have a
// Key of their own: making a key takes long.
type Certificate struct {
	// OrgNumber is the organisation it is issued to; empty means
	// [DefaultOrgNumber]. It is not checked.
	OrgNumber string

	// Name is the organisation's; empty means one made of its number.
	Name string

	// NotBefore and NotAfter are when it is valid; zero means from yesterday,
	// and for three years from then.
	NotBefore, NotAfter time.Time

	// KeyUsage is what its key may do; zero means Digital Signature. The file
	// that an issuer sends for signing documents has
	// [x509.KeyUsageContentCommitment] alone, and Maskinporten does not take it.
	KeyUsage x509.KeyUsage

	// Production has it issued under the production CA, which a Fake takes
	// only if it stands in for [maskinporten.Prod].
	Production bool

	// SEID1 has the organisation number in serialNumber, as certificates had
	// it until 2025, rather than in organizationIdentifier.
	SEID1 bool

	// Key is what the certificate is for; nil means the one that all share.
	Key *rsa.PrivateKey
}

// Credential is the certificate, its chain and its key, ready to sign with. It
// panics if the library does not take them, for instance because the
// certificate has expired; [Certificate.PKCS12] issues such a one.
func (c Certificate) Credential() *maskinporten.Credential {
	chain := c.Chain()
	cred, err := maskinporten.NewCredential(c.key(), chain...)
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: the certificate described makes no credential: %v", err))
	}
	return cred
}

// PKCS12 is the .p12 file as an issuer delivers it: key, certificate and
// chain, under password.
func (c Certificate) PKCS12(password string) []byte {
	chain := c.Chain()
	file, err := pkcs12.Modern.Encode(c.key(), chain[0], chain[1:], password)
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: making the .p12 file: %v", err))
	}
	return file
}

// Chain is the certificate, issued now, the intermediate and the root.
func (c Certificate) Chain() []*x509.Certificate {
	a := testAuthority()
	if c.Production {
		a = prodAuthority()
	}
	leaf := a.intermediate.issue(c.template(), c.key().Public())
	return []*x509.Certificate{leaf, a.intermediate.certificate, a.root.certificate}
}

func (c Certificate) key() *rsa.PrivateKey {
	if c.Key != nil {
		return c.Key
	}
	return sharedKey()
}

var oidOrganizationIdentifier = asn1.ObjectIdentifier{2, 5, 4, 97}

func (c Certificate) template() *x509.Certificate {
	if c.OrgNumber == "" {
		c.OrgNumber = DefaultOrgNumber
	}
	if c.Name == "" {
		c.Name = "TESTVIRKSOMHET " + c.OrgNumber
	}
	if c.NotBefore.IsZero() {
		c.NotBefore = time.Now().AddDate(0, 0, -1)
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = c.NotBefore.AddDate(3, 0, 0)
	}
	if c.KeyUsage == 0 {
		c.KeyUsage = x509.KeyUsageDigitalSignature
	}
	subject := pkix.Name{Country: []string{"NO"}, Organization: []string{c.Name}, CommonName: c.Name}
	if c.SEID1 {
		subject.SerialNumber = c.OrgNumber
	} else {
		subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidOrganizationIdentifier, Value: "NTRNO-" + c.OrgNumber}}
	}
	return &x509.Certificate{
		Subject:     subject,
		NotBefore:   c.NotBefore,
		NotAfter:    c.NotAfter,
		KeyUsage:    c.KeyUsage,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// KeyCredential signs with a key that is registered on a client under kid: see
// [Fake.AddKey]. The key is the one that all certificates share.
func KeyCredential(kid string) *maskinporten.Credential {
	cred, err := maskinporten.NewKeyCredential(sharedKey(), kid)
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: %v", err))
	}
	return cred
}

// JWK is the private key of [KeyCredential] as NAIS puts it in
// MASKINPORTEN_CLIENT_JWK.
func JWK(kid string) []byte {
	key := sharedKey()
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	jwk, err := json.Marshal(map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
		"n": number(key.N), "e": number(big.NewInt(int64(key.E))), "d": number(key.D),
		"p": number(key.Primes[0]), "q": number(key.Primes[1]),
		"dp": number(key.Precomputed.Dp), "dq": number(key.Precomputed.Dq), "qi": number(key.Precomputed.Qinv),
	})
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: %v", err))
	}
	return jwk
}
