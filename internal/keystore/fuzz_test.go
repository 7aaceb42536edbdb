package maskinporten

import (
	"testing"
)

// checkFuzzed wants a credential that can be used, or an error.
func checkFuzzed(t *testing.T, cred *Credential, err error) {
	if (cred == nil) == (err == nil) {
		t.Fatalf("credential %v, error %v", cred, err)
	}
	if cred == nil {
		return
	}
	if len(headerOf(t, cred)) != 2 || cred.signer == nil {
		t.Fatalf("not fit to sign: %v", cred)
	}
	_ = cred.OrgNumber() + cred.String()
}

func FuzzPKCS12(f *testing.F) {
	for _, row := range keystoreTable(f) {
		if row.Tool == "by hand" || row.Tool == "BouncyCastle" || row.Tool == "keytool" {
			f.Add(keystore(f, row.File), row.Password)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		cred, err := LoadPKCS12(data, password)
		checkFuzzed(t, cred, err)
		cred, err = LoadPKCS12Key(data, password, "auth")
		checkFuzzed(t, cred, err)
	})
}

func FuzzPEM(f *testing.F) {
	for _, file := range []string{"pkcs1.pem", "pkcs8-encrypted.pem", "pkcs1-encrypted.pem", "trusted.pem", "bag-attributes.pem", "pki/ec.pem"} {
		f.Add(keystore(f, file), keystore(f, "pki/leaf.pem"))
	}
	f.Add(bundle(f, "key", "leaf"), []byte(nil))
	f.Add(keystore(f, "openssl-modern.p12"), []byte("\xef\xbb\xbf"))
	f.Fuzz(func(t *testing.T, one, other []byte) {
		cred, err := LoadPEM(one, other)
		checkFuzzed(t, cred, err)
	})
}

func FuzzJWK(f *testing.F) {
	plain := privateJWK(f, nil)
	f.Add([]byte(plain))
	f.Add([]byte(`{"keys":[` + plain + `]}`))
	f.Add([]byte(privateJWK(f, object{"p": "AQAB"})))
	f.Add([]byte("eyJrdHkiOiJSU0EifQ=="))
	f.Fuzz(func(t *testing.T, data []byte) {
		cred, err := LoadJWK(data)
		checkFuzzed(t, cred, err)
	})
}
