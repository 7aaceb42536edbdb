package keystore

import (
	"testing"
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
