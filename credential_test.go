package maskinporten

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func pkiKey(t testing.TB, name string) crypto.Signer {
	t.Helper()
	block, _ := pem.Decode(keystore(t, "pki/"+name+".pem"))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	require.NoError(t, err)
	return key.(crypto.Signer)
}

func pkiCerts(t testing.TB, names ...string) (certs []*x509.Certificate) {
	t.Helper()
	for _, name := range names {
		block, _ := pem.Decode(keystore(t, "pki/"+name+".pem"))
		cert, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		certs = append(certs, cert)
	}
	return certs
}

func TestChain(t *testing.T) {
	for _, test := range []struct {
		reason string
		given  []string
		chain  []string
		err    error
	}{
		{"in order", []string{"leaf", "ca", "root"}, []string{"leaf", "ca", "root"}, nil},
		{"backwards", []string{"root", "ca", "leaf"}, []string{"leaf", "ca", "root"}, nil},
		{"the root is not needed", []string{"ca", "leaf"}, []string{"leaf", "ca"}, nil},
		{"a stray, and one of another key", []string{"stray", "otherleaf", "root", "leaf", "ca"}, []string{"leaf", "ca", "root"}, nil},
		{"all of them twice", []string{"leaf", "leaf", "ca", "ca", "root", "root"}, []string{"leaf", "ca", "root"}, nil},
		{"the other environment's CA has the same key", []string{"leaf", "prodca", "prodroot", "ca", "root"}, []string{"leaf", "ca", "root"}, nil},
		{"the old certificate beside the renewed one", []string{"expired", "leaf", "ca"}, []string{"leaf", "ca"}, nil},
		{"auth and sign of the same key", []string{"sign", "ca", "leaf"}, []string{"leaf", "ca"}, nil},
		{"the longer of two", []string{"leaf", "production", "ca"}, []string{"leaf", "ca"}, nil},
		{"no intermediate", []string{"leaf", "root"}, []string{"leaf"}, nil},
		{"only the old certificate", []string{"expired", "ca"}, nil, ErrCertificateExpired},
		{"only the coming certificate", []string{"future", "ca"}, nil, ErrCertificateNotYetValid},
		{"for signing documents", []string{"sign", "ca"}, nil, ErrUnusableKey},
		{"for encryption", []string{"enc", "ca"}, nil, ErrUnusableKey},
		{"another's certificate", []string{"otherleaf", "ca"}, nil, ErrKeyMismatch},
		{"no certificate", nil, nil, ErrNoCertificate},
	} {
		t.Run(test.reason, func(t *testing.T) {
			cred, err := NewCredential(pkiKey(t, "key"), pkiCerts(t, test.given...)...)
			require.ErrorIs(t, err, test.err)
			if test.err != nil {
				assert.Nil(t, cred)
				return
			}
			assert.Equal(t, pkiCerts(t, test.chain...), cred.Chain())
			assert.Len(t, cred.x5c, len(test.chain))
		})
	}
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
		_, err := LoadPKCS12(keystore(t, store.file), store.password)
		note("LoadPKCS12, "+store.what, err)
	}
	_, err := LoadPKCS12Key(keystore(t, "keytool-two-keys.p12"), "changeit", "autentisering")
	note("LoadPKCS12Key, no such name", err)
	_, err = choose([]namedKey{{"sign", pkiKey(t, "key")}, {"", pkiKey(t, "weak")}}, pkiCerts(t, "sign", "ca"), time.Now(), "")
	note("two keys, neither of which can sign", err)
	assert.ErrorIs(t, err, ErrUnusableKey)
	assert.NotErrorIs(t, err, ErrNoKey)
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
		_, err := LoadPEM(keystore(t, input.file))
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
		{"two keys", `{"keys":[{"kty":"RSA","kid":"gammel"},{"kty":"RSA","kid":"ny"}]}`},
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
	two := keystore(t, "craft-two-usable-keys.p12")
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
	_, err = LoadPKCS12Key(keystore(t, "craft-three-files-in-one.p12"), "changeit", "sign")
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
	checkLoaded(t, cred)
	assert.Equal(t, []crypto.SignerOpts{crypto.SHA256}, remote.opts, "PKCS #1 v1.5 is asked for by the hash alone")
}

// TestManyCertificatesOfOneName: a thousand candidates for the issuer, none of which it is, are not all tried.
func TestManyCertificatesOfOneName(t *testing.T) {
	false1 := *pkiCerts(t, "ca")[0]
	false1.PublicKey = pkiKey(t, "other").Public()
	many := slices.Repeat([]*x509.Certificate{&false1}, 1000)
	start := time.Now()
	cred, err := NewCredential(pkiKey(t, "key"), append(many, pkiCerts(t, "leaf")...)...)
	require.NoError(t, err)
	assert.Len(t, cred.Chain(), 1)
	assert.Less(t, time.Since(start), time.Second)
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
				defer close(wake)
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
				_, err = c.Token(t.Context(), Request{Scope: "first"})
				require.NoError(t, err)
			})
		})
	}
}
