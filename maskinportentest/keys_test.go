package maskinportentest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// A key is registered as whatever other program wrote it.
func TestAddKeyForms(t *testing.T) {
	public := &testKey().PublicKey
	spki, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	certificate := maskinportentest.Certificate{Key: testKey()}.Chain()[0]
	for _, tt := range []struct {
		form string
		key  maskinportentest.Key
	}{
		{"a JWK", maskinportentest.Key{Data: marshal(t, jwkOf(public, "k1"))}},
		{"a JWK under another kid", maskinportentest.Key{ID: "k1", Data: marshal(t, jwkOf(public, "k9"))}},
		{"a JWK set", maskinportentest.Key{Data: marshal(t, dict{"keys": list{jwkOf(&otherKey().PublicKey, "k0"), jwkOf(public, "k1")}})}},
		{"an array of JWKs, as the portal takes it", maskinportentest.Key{Data: marshal(t, list{jwkOf(public, "k1")})}},
		{"a public key in PEM", maskinportentest.Key{ID: "k1", Data: pemOf("PUBLIC KEY", spki)}},
		{"PKCS#1", maskinportentest.Key{ID: "k1", Data: pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(public))}},
		{"a certificate in PEM", maskinportentest.Key{ID: "k1", Data: pemOf("CERTIFICATE", certificate.Raw)}},
		{"a certificate in DER", maskinportentest.Key{ID: "k1", Data: certificate.Raw}},
		{"an RSA key", maskinportentest.Key{ID: "k1", Public: public}},
	} {
		t.Run(tt.form, func(t *testing.T) {
			fake := maskinportentest.New()
			fake.AddKey(maskinportentest.DefaultClientID, tt.key)
			g := newRaw(fake.Environment())
			g.useKey("k1")
			s := post(t, fake, g.sign(t))
			require.Equal(t, http.StatusOK, s.Status, s.Description)
			require.Equal(t, "private_key_jwt", claimsOf(t, s.AccessToken)["client_amr"])
		})
	}
}

func TestAddKeyRefuses(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	spki, err := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	require.NoError(t, err)
	private := with(jwkOf(&testKey().PublicKey, "k1"), "d", "AQAB")
	for _, tt := range []struct {
		reason string
		key    maskinportentest.Key
		says   string
	}{
		{"nothing readable", maskinportentest.Key{ID: "k1", Data: []byte("x")}, "no JWK"},
		{"a private JWK", maskinportentest.Key{Data: marshal(t, private)}, "private"},
		{"a private key in PEM", maskinportentest.Key{ID: "k1", Data: pemOf("PRIVATE KEY", []byte("x"))}, "public half"},
		{"EC", maskinportentest.Key{ID: "k1", Data: pemOf("PUBLIC KEY", spki)}, "RSA"},
		{"EC as JWK", maskinportentest.Key{Data: []byte(`{"kty":"EC","kid":"k1"}`)}, "RSA"},
		{"no kid", maskinportentest.Key{Data: pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&testKey().PublicKey))}, "kid"},
		{"one kid for two keys", maskinportentest.Key{ID: "k1", Data: marshal(t, list{jwkOf(&testKey().PublicKey, "a"), jwkOf(&testKey().PublicKey, "b")})}, "2 keys"},
		{"an empty set", maskinportentest.Key{Data: []byte(`{"keys":[]}`)}, "empty"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			defer func() { require.Contains(t, fmt.Sprint(recover()), tt.says) }()
			maskinportentest.New().AddKey(maskinportentest.DefaultClientID, tt.key)
			t.Fatal("taken")
		})
	}
}

func TestRemoveKey(t *testing.T) {
	fake := maskinportentest.New()
	fake.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k1", Public: &testKey().PublicKey, NoExpiry: true})
	fake.SetClock(0)
	fake.RemoveKey(maskinportentest.DefaultClientID, "k1")
	s := post(t, fake, newRaw(fake.Environment()).sign(t))
	require.Equal(t, http.StatusOK, s.Status, s.Description)
}

// foreignStore is a .p12 of a CA that the package knows nothing of, as another
// program makes it.
func foreignStore(t testing.TB, org string) (p12, ca []byte) {
	key, caKey := testKey(), otherKey()
	issue := func(template, parent *x509.Certificate, public *rsa.PublicKey, by *rsa.PrivateKey) *x509.Certificate {
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
		require.NoError(t, err)
		c, err := x509.ParseCertificate(der)
		require.NoError(t, err)
		return c
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "Another CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	root := issue(template, template, &caKey.PublicKey, caKey)
	leaf := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "Pensjon AS", ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{2, 5, 4, 97}, Value: "NTRNO-" + org},
		}},
		KeyUsage: x509.KeyUsageDigitalSignature,
	}, root, &key.PublicKey, caKey)
	p12, err := pkcs12.Modern.Encode(key, leaf, []*x509.Certificate{root}, "passord")
	require.NoError(t, err)
	return p12, pemOf("CERTIFICATE", root.Raw)
}

// A keystore made elsewhere signs grants once its CA is trusted, by this Fake
// alone.
func TestTrustCA(t *testing.T) {
	p12, ca := foreignStore(t, maskinportentest.DefaultOrgNumber)
	cred, err := maskinporten.LoadPKCS12(p12, "passord")
	require.NoError(t, err)
	trusting, other := maskinportentest.New(), maskinportentest.New()
	trusting.TrustCA(ca)
	token := func(fake *maskinportentest.Fake) error {
		cfg := fake.Config()
		cfg.Credential = cred
		_, err := newClient(t, cfg).Token(t.Context(), maskinporten.Request{Scope: "bank:saldo"})
		return err
	}
	require.NoError(t, token(trusting))
	var refused *maskinporten.Error
	require.ErrorAs(t, token(other), &refused)
	require.Equal(t, "MP-120", refused.MPCode)

	// The organisation in it counts as in any other.
	trusting.AddClient(maskinportentest.Integration{ID: maskinportentest.DefaultClientID, OrgNumber: otherOrg})
	require.ErrorAs(t, token(trusting), &refused)
	require.Equal(t, "MP-122", refused.MPCode)
	require.Panics(t, func() { trusting.TrustCA([]byte("x")) })
}

// A .p12 that another program made is taken once its CA is trusted.
func ExampleFake_TrustCA() {
	fake := maskinportentest.New()
	p12, ca := foreignStore(&testing.T{}, maskinportentest.DefaultOrgNumber)
	fake.TrustCA(ca)

	cfg := fake.Config()
	var err error
	if cfg.Credential, err = maskinporten.LoadPKCS12(p12, "passord"); err != nil {
		panic(err)
	}
	client, err := maskinporten.New(cfg)
	if err != nil {
		panic(err)
	}
	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "bank:saldo"})
	fmt.Println(err)
	// Output: <nil>
}

// The public key that a program in another language uses, as it exports it.
func ExampleFake_AddKey() {
	fake := maskinportentest.New()
	fake.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{Data: []byte(`{"kty":"RSA","kid":"pensjon-2026","use":"sig","alg":"RS256","e":"AQAB",
		"n":"sXchDaQebHnPiGvyDOAT4saGEUetSyo9MKLOoWFsueri23bOdgWp4Dy1WlUzewbgBHod5pcM9H95GQRV3JDXboIRROSBigeC5yjU1hGzHHyXss8UDprecbAYxknTcQkhslANGRUZmdTOQ5qTRsLAt6BTYuyvVRdhS8exSZEy_c4gs_7svlJJQ4H9_NxsiIoLwAEk7-Q3UXERGYw_75IDrGA84-lA_-Ct4eTlXHBIY2EaV7t7LjJaynVJCpkv4LKjTTAumiGUIuQhrNhZLuF_RJLqHpM2kgWFLU7-VTdL1VbC2tejvcI2BlMkEpk1BzBZI0KQB0GaDWFLN-aEAw3vRw"}`)})
	fmt.Println("registered")
	// Output: registered
}
