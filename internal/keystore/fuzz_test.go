package keystore

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"strings"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
)

// checkFuzzed wants a key that can be used, or an error.
func checkFuzzed(t *testing.T, key *Key, err error) {
	if (key == nil) == (err == nil) {
		t.Fatalf("key %v, error %v", key, err)
	}
	if key != nil && key.Signer() == nil {
		t.Fatal("not fit to sign")
	}
}

func FuzzPKCS12(f *testing.F) {
	for _, row := range keystoreTable(f) {
		if row.Tool == "by hand" || row.File == "bc-ber.p12" || row.File == "keytool-two-keys-legacy.p12" {
			f.Add(stored(f, row.File), row.Password)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		key, err := PKCS12(data, password, "")
		checkFuzzed(t, key, err)
		key, err = PKCS12Named(data, password, "auth")
		checkFuzzed(t, key, err)
	})
}

func FuzzPEM(f *testing.F) {
	for _, file := range []string{"pkcs1.pem", "pkcs8-encrypted.pem", "pkcs1-encrypted.pem", "trusted.pem", "bag-attributes.pem", "pki/ec.pem"} {
		f.Add(stored(f, file), stored(f, "pki/leaf.pem"))
	}
	f.Add(bundle(f, "key", "leaf"), []byte(nil))
	f.Add(stored(f, "openssl-modern.p12"), []byte("\xef\xbb\xbf"))
	f.Fuzz(func(t *testing.T, one, other []byte) {
		key, err := PEM("", one, other)
		checkFuzzed(t, key, err)
	})
}

func FuzzJWK(f *testing.F) {
	plain := privateJWK(f, nil)
	f.Add([]byte(plain))
	f.Add([]byte(`{"keys":[` + plain + `]}`))
	f.Add([]byte(privateJWK(f, object{"p": "AQAB"})))
	f.Add([]byte("eyJrdHkiOiJSU0EifQ=="))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, err := JWK(data)
		checkFuzzed(t, key, err)
	})
}

// FuzzCertificate wants what crypto/x509 parses, or an outline with a name for the error; never a panic.
func FuzzCertificate(f *testing.F) {
	for _, name := range []string{"leaf", "ca", "ecleaf", "seid1"} {
		f.Add(raw(f, name))
	}
	f.Add(tampered(f, "leaf", func(tbs []asn1.RawValue) []asn1.RawValue {
		tbs[1] = element(f, -42)
		return tbs
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The outline of what does parse says the same.
		if cert, err := x509.ParseCertificate(data); err == nil {
			partial := outline(data)
			if partial == nil {
				t.Fatal("no outline")
			}
			if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && !key.Equal(partial.PublicKey) {
				t.Fatal("another key")
			}
			if !bytes.Equal(cert.RawSubject, partial.RawSubject) || !bytes.Equal(cert.RawIssuer, partial.RawIssuer) || cert.KeyUsage != partial.KeyUsage {
				t.Fatal("another certificate")
			}
		}
		c, err := parseCertificate(data)
		if (err == nil) != (c.Certificate != nil) {
			t.Fatalf("certificate %v, error %v", c.Certificate, err)
		}
		if err != nil {
			return
		}
		pool := newPool([]certificate{c, {Certificate: certificates(t, "ca")[0]}}, time.Now(), p12.NewBudget())
		_, _ = pool.chain(privateKey(t, "key").Public().(*rsa.PublicKey))
	})
}

// FuzzPath wants no error to hold what does not look like a path.
func FuzzPath(f *testing.F) {
	f.Add("hemmelig", "/run/key.p12")
	f.Add("-----BEGIN PRIVATE KEY-----", "")
	f.Add(privateJWK(f, nil), "x")
	f.Add("a:b;c", "d")
	f.Fuzz(func(t *testing.T, path, password string) {
		file := StoreFile(path, password, "", "")
		_, err := file.Key(t.Context(), quiet)
		if err == nil {
			t.Skip("there is such a file")
		}
		if len(err.Error()) > 3000 || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
			t.Fatalf("%q", err)
		}
		if len(password) > 8 && password != path && !strings.Contains(path, password) && strings.Contains(err.Error(), password) {
			t.Fatalf("the password is in %q", err)
		}
	})
}
