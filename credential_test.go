package maskinporten

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// storedFile returns a file of testdata/keystores.
func storedFile(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "keystores", file))
	require.NoError(t, err)
	return b
}

func pkiKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(storedFile(t, "pki/"+name+".pem"))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	return key.(crypto.Signer)
}

func pkiCerts(t testing.TB, names ...string) (certs []*x509.Certificate) {
	t.Helper()
	for _, name := range names {
		block, _ := pem.Decode(storedFile(t, "pki/"+name+".pem"))
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		certs = append(certs, cert)
	}
	return certs
}

func TestKeysThatCannotSign(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	for _, test := range []struct {
		reason string
		signer crypto.Signer
		err    error
		says   string
	}{
		{"elliptic curve", ec, ErrUnusableKey, "it is an ecdsa.PublicKey, and Maskinporten takes RSA only"},
		{"too short", pkiKey(t, "weak"), ErrUnusableKey, "1024 bits"},
		{"none", nil, ErrNoKey, "nil"},
	} {
		_, err := NewCredential(test.signer, pkiCerts(t, "leaf", "ca")...)
		assert.ErrorIs(t, err, test.err, test.reason)
		assert.ErrorContains(t, err, test.says, test.reason)
		_, err = NewKeyCredential(test.signer, "kid")
		assert.ErrorIs(t, err, test.err, test.reason)
	}
}

// TestCredentialErrors keeps the texts: an operator has nothing else to go by.
func TestCredentialErrors(t *testing.T) {
	var text string
	note := func(what string, err error) {
		require.Error(t, err, what)
		text += fmt.Sprintf("%s\n\t%v\n\n", what, err)
	}
	for _, store := range []struct{ what, file, password string }{
		{"wrong password", "openssl-modern.p12", "feil"},
		{"JKS", "keytool.jks", "changeit"},
		{"BKS", "bc.bks", "changeit"},
		{"RC4", "openssl-rc4-128.p12", "changeit"},
		{"no MAC", "openssl-nomac.p12", "changeit"},
		{"only for documents", "openssl-sign.p12", "changeit"},
		{"only for encryption", "openssl-enc.p12", "changeit"},
		{"expired", "openssl-expired.p12", "changeit"},
		{"not yet valid", "openssl-future.p12", "changeit"},
		{"elliptic curve", "openssl-ec.p12", "changeit"},
		{"too short", "openssl-weak.p12", "changeit"},
		{"no key", "openssl-no-key.p12", "changeit"},
		{"no certificate", "openssl-no-certificates.p12", "changeit"},
		{"another's certificate", "craft-mismatch.p12", "changeit"},
		{"two keys that can sign", "keytool-two-usable-keys.p12", "changeit"},
		{"a PEM file", "pki/leaf.pem", "changeit"},
		{"not a keystore", "../../LICENSE", "changeit"},
	} {
		_, err := LoadPKCS12(storedFile(t, store.file), store.password)
		note("LoadPKCS12, "+store.what, err)
	}
	_, err := LoadPKCS12Key(storedFile(t, "keytool-two-keys.p12"), "changeit", "autentisering")
	note("LoadPKCS12Key, no such name", err)
	cred, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, "leaf", "root")...)
	require.NoError(t, err)
	note("New, no intermediate", second(New(Config{Environment: Test, ClientID: "id", Credential: cred})))

	for _, input := range []struct{ what, file string }{
		{"encrypted key, PKCS#8", "pkcs8-encrypted.pem"},
		{"encrypted key, PKCS#1", "pkcs1-encrypted.pem"},
		{"a .p12 file", "openssl-modern.p12"},
		{"only certificates", "pki/leaf.pem"},
		{"only a key", "pki/key.pem"},
		{"not PEM", "../../LICENSE"},
	} {
		_, err := LoadPEM(storedFile(t, input.file))
		note("LoadPEM, "+input.what, err)
	}
	for _, input := range []struct{ what, jwk string }{
		{"not JSON", "hei!"},
		{"broken JSON", `{"kty":"RSA",`},
		{"no JWK", `{}`},
		{"elliptic curve", `{"kty":"EC","crv":"P-256"}`},
		{"public key", `{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB"}`},
		{"no primes", `{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","d":"AQAB"}`},
		{"nonsense", `{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","d":"AQAB","p":"AQAB","q":"AQAB"}`},
		{"two keys", `{"keys":[{"kty":"RSA","kid":"gammel","n":"AQAB","d":"AQAB"},{"kty":"RSA","kid":"ny","n":"AQAB","d":"AQAB"}]}`},
		{"no key", `{"keys":[]}`},
	} {
		_, err := LoadJWK([]byte(input.jwk))
		note("LoadJWK, "+input.what, err)
	}
	golden(t, "credential-errors.txt", text)
}

func second(_ *Client, err error) error { return err }

// TestMissingIntermediate: the file loads, for a key id may stand in for the chain; as x5c it is refused before it is sent.
func TestMissingIntermediate(t *testing.T) {
	cred, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, "leaf")...)
	require.NoError(t, err)
	assert.ErrorIs(t, cred.usable(time.Now()), ErrMissingIntermediate)
	assert.NoError(t, cred.WithKeyID("kid").usable(time.Now()))

	var field *FieldError
	_, err = New(Config{Environment: Test, ClientID: "id", Credential: cred})
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "Credential", field.Field)
	assert.ErrorIs(t, err, ErrMissingIntermediate)
	_, err = New(Config{Environment: Test, ClientID: "id", Credential: cred.WithKeyID("kid")})
	assert.NoError(t, err)

	stray, err := NewCredential(pkiKey(t, "other"), pkiCerts(t, "stray")...)
	require.NoError(t, err)
	assert.NoError(t, stray.usable(time.Now()), "self-signed")
}

func TestLoadPKCS12Key(t *testing.T) {
	two := storedFile(t, "craft-two-usable-keys.p12")
	first, err := LoadPKCS12Key(two, "changeit", "første")
	require.NoError(t, err)
	assert.Equal(t, pkiCerts(t, "leaf", "ca", "root"), first.Chain())
	other, err := LoadPKCS12Key(two, "changeit", "ANDRE")
	require.NoError(t, err, "Java's aliases do not mind capitals")
	assert.Equal(t, pkiCerts(t, "otherleaf", "ca", "root"), other.Chain())
	_, err = LoadPKCS12Key(two, "changeit", "tredje")
	assert.ErrorIs(t, err, ErrNoKey)
	_, err = LoadPKCS12Key(two, "feil", "første")
	assert.ErrorIs(t, err, ErrWrongPassword)
	_, err = LoadPKCS12Key(storedFile(t, "craft-three-files-in-one.p12"), "changeit", "sign")
	assert.ErrorIs(t, err, ErrUnusableKey, "the name decides, even for the worse")
}

func TestOrgNumberInCertificate(t *testing.T) {
	for _, name := range []string{"leaf", "seid1"} {
		cred, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, name, "ca")...)
		require.NoError(t, err)
		assert.Equal(t, "910753614", cred.OrgNumber(), name)
	}
	cred, err := NewCredential(pkiKey(t, "other"), pkiCerts(t, "stray")...)
	require.NoError(t, err)
	assert.Empty(t, cred.OrgNumber())
	cred, err = NewKeyCredential(pkiKey(t, "key"), "kid")
	require.NoError(t, err)
	assert.Empty(t, cred.OrgNumber())
	assert.Zero(t, cred.NotAfter())
	assert.Nil(t, cred.Certificate())
	assert.Empty(t, cred.Chain())
}

// remoteSigner is a key somewhere else: only what crypto.Signer promises.
type remoteSigner struct {
	key  *rsa.PrivateKey
	opts []crypto.SignerOpts
}

func (r *remoteSigner) Public() crypto.PublicKey { return r.key.Public() }

func (r *remoteSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if len(digest) != 32 {
		return nil, errors.New("not a SHA-256 digest")
	}
	r.opts = append(r.opts, opts)
	return r.key.Sign(random, digest, opts)
}

func TestAnySigner(t *testing.T) {
	remote := &remoteSigner{key: pkiKey(t, "key").(*rsa.PrivateKey)}
	cred, err := NewCredential(remote, pkiCerts(t, "ca", "leaf")...)
	require.NoError(t, err)
	assertion, err := cred.sign(&grant{})
	require.NoError(t, err)
	_, err = jwt.Parse(assertion, func(*jwt.Token) (any, error) { return cred.Certificate().PublicKey, nil }, jwt.WithoutClaimsValidation())
	assert.NoError(t, err)
	assert.Equal(t, []crypto.SignerOpts{crypto.SHA256}, remote.opts, "PKCS #1 v1.5 is asked for by the hash alone")
}

// moodySigner does something else the first time it is asked.
type moodySigner struct {
	*rsa.PrivateKey
	asked *atomic.Int32
	first func()
}

func (m moodySigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if m.asked.Add(1) == 1 {
		m.first()
	}
	return m.PrivateKey.Sign(random, digest, opts)
}

// TestMoodySigner: an HSM that hangs or panics fails the calls that wait for that signature, and no other.
func TestMoodySigner(t *testing.T) {
	for _, mood := range []string{"hangs", "panics"} {
		t.Run(mood, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wake := make(chan struct{})
				first := func() { <-wake }
				if mood == "panics" {
					first = func() { panic("CKR_DEVICE_ERROR") }
				}
				signer := moodySigner{pkiKey(t, "key").(*rsa.PrivateKey), new(atomic.Int32), first}
				cred, err := NewCredential(signer, pkiCerts(t, "leaf", "ca")...)
				require.NoError(t, err)
				c := (&wire{reply: ok}).client(t, nil)
				c.exchange.source = cred

				failed := make(chan error)
				go func() {
					_, err := c.Token(context.Background(), Request{Scope: "first"})
					failed <- err
				}()
				synctest.Wait()
				_, err = c.Token(t.Context(), Request{Scope: "second"})
				require.NoError(t, err)
				require.Error(t, <-failed)
				time.Sleep(time.Minute)
				close(wake) // until then no other is started beside it
				synctest.Wait()
				_, err = c.Token(t.Context(), Request{Scope: "first"})
				require.NoError(t, err)
			})
		})
	}
}

// privateJWK is key in a JWK, as NAIS injects it.
func privateJWK(t testing.TB, kid string) []byte {
	key := pkiKey(t, "key").(*rsa.PrivateKey)
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	b, err := json.Marshal(object{
		"kty": "RSA", "kid": kid, "n": number(key.N), "e": "AQAB", "d": number(key.D), "p": number(key.Primes[0]), "q": number(key.Primes[1]),
	})
	require.NoError(t, err)
	return b
}

func TestJWKWithoutKid(t *testing.T) {
	cred, err := LoadJWK(privateJWK(t, "min-nøkkel"))
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"alg": "RS256", "kid": "min-nøkkel"}, headerOf(t, cred))
	_, err = LoadJWK(privateJWK(t, ""))
	var field *FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "kid", field.Field)
}

// TestFileSource: as long as the file is the same, so is the credential.
func TestFileSource(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwk.json")
	require.NoError(t, os.WriteFile(path, privateJWK(t, "gammel"), 0o600))
	source := JWKFile(path)
	first, err := source.Credential(t.Context())
	require.NoError(t, err)
	again, err := source.Credential(t.Context())
	require.NoError(t, err)
	assert.Same(t, first, again)

	require.NoError(t, os.WriteFile(path, privateJWK(t, "ny-nøkkel"), 0o600))
	renewed, err := source.Credential(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "ny-nøkkel", renewed.key.ID)

	// A key without an id is not taken while there is one that is good.
	require.NoError(t, os.WriteFile(path, privateJWK(t, ""), 0o600))
	kept, err := source.Credential(t.Context())
	require.NoError(t, err)
	assert.Same(t, renewed, kept)
}

// TestEmptyCredential: an error where it is used, and no panic anywhere.
func TestEmptyCredential(t *testing.T) {
	empty := &Credential{}
	_, err := New(Config{Environment: Test, ClientID: "id", Credential: empty})
	var field *FieldError
	require.ErrorAs(t, err, &field)
	assert.Equal(t, "Credential", field.Field)
	assert.ErrorIs(t, err, ErrNoKey)
	assert.Nil(t, empty.Certificate())
	assert.Empty(t, empty.Chain())
	assert.Empty(t, empty.OrgNumber())
	assert.Zero(t, empty.NotAfter())
	assert.Same(t, empty, empty.WithKeyID(""))
	assert.NotEmpty(t, empty.String())
	_, err = New(Config{Environment: Test, ClientID: "id", Credential: empty.WithKeyID("kid")})
	assert.ErrorIs(t, err, ErrNoKey)

	// From a source it is seen at the first signing.
	w := &wire{reply: ok}
	c := w.client(t, nil)
	c.exchange.source = emptySource{}
	_, err = c.Token(t.Context(), Request{Scope: "a"})
	assert.ErrorIs(t, err, ErrNoKey)
}

type emptySource struct{}

func (emptySource) Credential(context.Context) (*Credential, error) { return &Credential{}, nil }

// recorder keeps what testify prints of two values that differ.
type recorder struct{ text strings.Builder }

func (r *recorder) Errorf(format string, args ...any) { fmt.Fprintf(&r.text, format, args...) }

// TestReflectionFindsNoKey: testify's diff goes through unexported fields and minds no String method.
func TestReflectionFindsNoKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.p12")
	require.NoError(t, os.WriteFile(path, storedFile(t, "openssl-modern.p12"), 0o600))
	file := PKCS12File(path, "changeit")
	fromFile, err := file.Credential(t.Context())
	require.NoError(t, err)
	registered, err := LoadJWK(privateJWK(t, "kid"))
	require.NoError(t, err)
	client, err := New(Config{Environment: Test, ClientID: "id", Credential: fromFile})
	require.NoError(t, err)

	key := pkiKey(t, "key").(*rsa.PrivateKey)
	var secrets []string
	for _, number := range []*big.Int{key.D, key.Primes[0], key.Primes[1], key.Precomputed.Dp} {
		secrets = append(secrets, number.String())
		for _, word := range number.Bits() {
			secrets = append(secrets, fmt.Sprint(uint(word)), fmt.Sprintf("%x", uint(word)))
		}
	}
	secrets = append(secrets, "changeit")
	for what, value := range map[string]any{
		"a credential": fromFile, "a registered key": registered, "a file": file, "a Config": Config{Credential: fromFile}, "a Client": client,
	} {
		var r recorder
		assert.Equal(&r, value, struct{ x any }{})
		assert.Equal(&r, struct{ x any }{value}, struct{ x any }{})
		text := r.text.String() + fmt.Sprintf("%+v %#v %v", value, value, struct{ x any }{value})
		require.Greater(t, len(text), 200, what)
		for _, secret := range secrets {
			require.False(t, strings.Contains(text, secret), "%s shows %.12s…", what, secret)
		}
	}
}

// TestKeyThatHasNotArrived: a new key file whose key Maskinporten does not know yet costs no token: the key before it signs,
// for ten minutes, and not for a key that has been accepted.
func TestKeyThatHasNotArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "jwk.json")
		write := func(kid string) { require.NoError(t, os.WriteFile(path, privateJWK(t, kid), 0o600)) }
		known := map[string]bool{"gammel": true}
		var kids []string
		w := &wire{reply: func(_ int, g *sentGrant) (*http.Response, error) {
			kid, _ := g.header["kid"].(string)
			kids = append(kids, kid)
			if !known[kid] {
				return reply(400, `{"error":"invalid_grant","error_description":"Unknown key identifier (kid) for client."}`), nil
			}
			return reply(200, tokenJSON(120)), nil
		}}
		c := w.client(t, nil)
		c.exchange.source = JWKFile(path)
		n := 0
		token := func() error {
			n++
			_, err := c.Token(t.Context(), Request{Scope: fmt.Sprint("s", n)})
			return err
		}
		signed := func() []string { defer func() { kids = nil }(); return kids }

		write("gammel")
		require.NoError(t, token())
		write("ny")
		require.NoError(t, token())
		require.NoError(t, token())
		assert.Equal(t, []string{"gammel", "ny", "gammel", "gammel"}, signed())

		time.Sleep(arrival)
		require.ErrorIs(t, token(), ErrUnknownKey, "it has had its time")
		assert.Equal(t, []string{"ny"}, signed())
		known["ny"] = true
		time.Sleep(time.Minute)
		require.NoError(t, token())
		assert.Equal(t, []string{"ny"}, signed())

		delete(known, "ny")
		require.ErrorIs(t, token(), ErrUnknownKey, "it was known, and has been removed")
		assert.Equal(t, []string{"ny"}, signed())
	})
}
