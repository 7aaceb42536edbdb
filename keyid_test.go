package maskinporten_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// The key itself, given where its id belongs, would go to Maskinporten in the
// header of every grant, and into every log line about the credential.
func TestKeyInPlaceOfItsIDIsRefused(t *testing.T) {
	jwk := string(maskinportentest.JWK("k"))
	var numbers map[string]any
	require.NoError(t, json.Unmarshal([]byte(jwk), &numbers))
	d := numbers["d"].(string)
	pem := string(storedKeystore(t, "pki/key.pem"))
	registered := maskinportentest.KeyCredential("k")
	for reason, kid := range map[string]string{
		"a JWK":                  jwk,
		"its private exponent":   d,
		"a JWK between marks":    "'" + jwk + "'",
		"PEM":                    pem,
		"PEM on one line":        strings.ReplaceAll(pem, "\n", `\n`),
		"base64 of PEM on lines": wrapped(d, 40),
		"a token":                "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
		"a line break":           "k\n",
		"a tab before":           "\tk",
	} {
		_, fromPEM := maskinporten.LoadPEMKey(kid, []byte(pem))
		numbers["kid"] = kid
		whole, err := json.Marshal(numbers)
		require.NoError(t, err)
		_, fromJWK := maskinporten.LoadJWK(whole)
		cred := registered.WithKeyID(kid)
		_, fromNew := maskinporten.New(maskinporten.Config{Environment: maskinporten.Test, ClientID: "c", Credential: cred})
		for _, err := range []error{fromPEM, fromJWK, fromNew} {
			require.Error(t, err, reason)
			require.NotContains(t, err.Error(), d[40:60], reason)
			require.NotContains(t, err.Error(), pem[60:80], reason)
		}
		require.NotContains(t, fmt.Sprintf("%v %+v", cred, *cred), kid[:min(len(kid), 20)], reason)
		require.NotContains(t, cred.String(), d[40:60], reason)

		fake := maskinportentest.New()
		cfg := fake.Config()
		cfg.Credential = sourceFunc(func() (*maskinporten.Credential, error) { return cred, nil }) // it is not looked at before it signs
		client, err := maskinporten.New(cfg)
		require.NoError(t, err)
		_, err = client.Token(t.Context(), maskinporten.Request{Scope: "a:b"})
		require.ErrorIs(t, err, maskinporten.ErrNoToken, reason)
		require.NotContains(t, err.Error(), d[40:60], reason)
		require.Zero(t, fake.TokenRequests(), reason)
	}
	sum := sha512.Sum512(nil)
	for _, kid := range []string{"k", "min nøkkel", hex.EncodeToString(sum[:]), "2026-11-28T00:00:00Z/1"} {
		_, err := maskinporten.LoadPEMKey(kid, []byte(pem))
		require.NoError(t, err, kid)
		require.Contains(t, registered.WithKeyID(kid).String(), kid)
	}
}

// A file with such an id does not drive out a key that is good.
func TestFileWithABadKeyIDKeepsTheLastKey(t *testing.T) {
	path := t.TempDir() + "/key.jwk"
	require.NoError(t, os.WriteFile(path, maskinportentest.JWK("k"), 0o600))
	source := maskinporten.JWKFile(path)
	first, err := source.Credential(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, bytes.Replace(maskinportentest.JWK("k"), []byte(`"k"`), []byte(`"k\n"`), 1), 0o600))
	again, err := source.Credential(t.Context())
	require.NoError(t, err)
	require.Same(t, first, again)
}

// A client id is held to the same.
func TestKeyInPlaceOfTheClientIDIsNotShown(t *testing.T) {
	var numbers map[string]any
	require.NoError(t, json.Unmarshal(maskinportentest.JWK("k"), &numbers))
	key := wrapped(numbers["d"].(string), 40)
	cfg := maskinportentest.New().Config()
	cfg.ClientID = key
	_, err := maskinporten.New(cfg)
	require.Error(t, err)
	require.NotContains(t, err.Error(), key[50:70])
}

// wrapped is s on lines of n characters.
func wrapped(s string, n int) string {
	var lines []string
	for ; len(s) > n; s = s[n:] {
		lines = append(lines, s[:n])
	}
	return strings.Join(append(lines, s), "\n")
}
