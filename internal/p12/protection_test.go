package p12

import (
	"os"
	"strings"
	"testing"
)

// The files were made by the tools that their names tell, with their defaults.
func TestInspect(t *testing.T) {
	for _, c := range []struct{ file, mac, encryption string }{
		{"bc-ber.p12", "HMAC with SHA-1, 102400 iterations", "3DES, 51200 iterations; RC2 of 40 bits, 51200 iterations"},
		{"go-passwordless.p12", "", "none for a key"},
		{"go-pbmac1.p12", "PBMAC1, HMAC with SHA-256", "AES-256, 2048 iterations"},
		{"go-des.p12", "HMAC with SHA-1, one iteration", "3DES, 2048 iterations"},
		{"keytool-modern.p12", "HMAC with SHA-256, 10000 iterations", "AES-256, 10000 iterations"},
		{"nss-rc4.p12", "HMAC with SHA-256, 600000 iterations", "RC4, 600000 iterations; AES-128, 600000 iterations"},
		{"openssl-modern.p12", "HMAC with SHA-256, 2048 iterations", "AES-256, 2048 iterations"},
	} {
		data, err := os.ReadFile("../../testdata/keystores/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Inspect(data)
		if err != nil || got.MAC != c.mac || strings.Join(got.Encryption, "; ") != c.encryption {
			t.Errorf("%s: %+v, %v", c.file, got, err)
		}
	}
}
