package resourceserver

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkVerify is held against BenchmarkVerifyBare: at most 1.4 times that,
// on one core.
func BenchmarkVerify(b *testing.B) {
	v, token := publishing(jwkOf("k1", &testKey().PublicKey, nil)).verifier(b), goodToken()
	_, err := v.Verify(b.Context(), token)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyBare is the least that a verification can be: the signature
// check, and the claims decoded from JSON. It looks at nothing.
func BenchmarkVerifyBare(b *testing.B) {
	token, key := goodToken(), &testKey().PublicKey
	b.ReportAllocs()
	for b.Loop() {
		dot := strings.LastIndexByte(token, '.')
		signed, encoded := token[:dot], token[dot+1:]
		signature, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			b.Fatal(err)
		}
		digest := sha256.Sum256([]byte(signed))
		if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature); err != nil {
			b.Fatal(err)
		}
		_, encoded, _ = strings.Cut(signed, ".")
		payload, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			b.Fatal(err)
		}
		var claims struct {
			Iss, Scope, Aud, Jti string
			ClientID             string `json:"client_id"`
			ClientAMR            string `json:"client_amr"`
			Iat, Exp             int64
			Consumer             struct{ Authority, ID string }
		}
		if err := json.Unmarshal(payload, &claims); err != nil {
			b.Fatal(err)
		}
	}
}
