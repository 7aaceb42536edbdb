package maskinporten

import (
	"crypto"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a variable holds that is not what it should be is called by the name of
// what it should be, and white space by its own.
func TestVariablesAreCalledByWhatTheyShouldHold(t *testing.T) {
	for _, tt := range []struct{ name, value, says, not string }{
		{envJWK, "eyJrdHkiOi", "the JWK is", "PKCS#12"},
		{envJWK, "hunter2", "the JWK is", "PKCS#12"},
		{envPEM, "hunter2", "no PEM block", "PKCS#12"},
		{envKeystore, "/nowhere/x.p12\r", "white space around the path", "missing"},
		{envKeystore, " ", "the path is empty", "password"},
	} {
		t.Setenv(tt.name, tt.value)
		_, err := credentialFromEnv()
		require.ErrorContains(t, err, tt.name)
		require.ErrorContains(t, err, tt.says)
		require.NotContains(t, err.Error(), tt.not)
		require.NotContains(t, err.Error(), "hunter2")
		t.Setenv(tt.name, "")
	}
	t.Setenv(envJWK, "x")
	t.Setenv(envKeyID, "k\r")
	_, err := credentialFromEnv()
	require.ErrorContains(t, err, envKeyID+` "k\r" holds white space`)

	t.Setenv(envScopes, "a:b\r\n")
	_, err = RequestFromEnv()
	require.ErrorContains(t, err, envScopes)
	t.Setenv(envScopes, "a:b")
	t.Setenv(envConsumerOrg, "910753614\r")
	_, err = RequestFromEnv()
	require.ErrorContains(t, err, envConsumerOrg)
	require.ErrorContains(t, err, `"910753614\r"`)
}

// Two variables that were exchanged put the key where the client id belongs,
// which stands in every error.
func TestClientIDThatIsAKeyIsNotPrinted(t *testing.T) {
	for _, secret := range []string{
		`{"kty":"RSA","d":"aGVtbWVsaWc"}`, "-----BEGIN PRIVATE KEY-----\naGVtbWVsaWc\n", "eyJrdHkiOiJSU0EifQ", strings.Repeat("aGVtbWVsaWc", 9),
	} {
		_, err := New(Config{Environment: Test, ClientID: secret, Credential: testCredential()})
		var field *FieldError
		require.ErrorAs(t, err, &field)
		require.Equal(t, "ClientID", field.Field)
		require.NotContains(t, err.Error(), "aGVtbWVsaWc")
		require.NotContains(t, err.Error(), "eyJ")
	}
}

// A variable that was declared and never set is a signer that panics when it is
// asked anything.
func TestEmptySigners(t *testing.T) {
	for name, signer := range map[string]crypto.Signer{"nil": nil, "a nil pointer": (*rsa.PrivateKey)(nil), "no numbers": &rsa.PrivateKey{}} {
		_, err := NewCredential(signer)
		require.ErrorIs(t, err, ErrNoKey, name)
		_, err = NewKeyCredential(signer, "k")
		require.ErrorIs(t, err, ErrNoKey, name)
	}
}

// Maskinporten would only say that the key is not known.
func TestKeyIDWithWhiteSpace(t *testing.T) {
	for _, kid := range []string{"k\r", "k\n", " k", "\ufeffk", " "} {
		var field *FieldError
		_, err := NewKeyCredential(testKey(), kid)
		require.ErrorAs(t, err, &field, "%q", kid)
		_, err = LoadPEMKey(kid, nil)
		require.ErrorAs(t, err, &field, "%q", kid)
		require.Contains(t, err.Error(), fmt.Sprintf("%q", kid))
	}
}

func TestNoFilesAreAnError(t *testing.T) {
	cred, err := PEMFile().Credential(t.Context())
	require.ErrorIs(t, err, ErrNotKeystore)
	require.Nil(t, cred)
}

// A metadata URL that was left behind from another environment shows that one
// of the two is wrong. What is no environment of Digdir's does not matter.
func TestMetadataURLOfAnotherEnvironment(t *testing.T) {
	for _, tt := range []struct {
		reason, env, issuer, token, metadata, refused string
	}{
		{"test's beside prod", "prod", "", "", Test.Issuer + wellKnown, envEnvironment},
		{"prod's beside test", "test", "", "", Prod.Issuer + wellKnown, envEnvironment},
		{"test's beside prod's issuer", "", Prod.Issuer, Prod.TokenURL, Test.Issuer + wellKnown, envIssuer},
		{"prod's beside another server's", "", "https://mp.example/", "https://mp.example/token", Prod.Issuer + wellKnown, envIssuer},
		{"the same", "test", "", "", Test.Issuer + wellKnown, ""},
		{"another document", "test", "", "", Test.Issuer + ".well-known/openid-configuration", ""},
		{"a copy", "", Test.Issuer, Test.TokenURL, "https://mirror.example/" + wellKnown, ""},
	} {
		t.Setenv(envEnvironment, tt.env)
		t.Setenv(envIssuer, tt.issuer)
		t.Setenv(envTokenURL, tt.token)
		t.Setenv(envWellKnown, tt.metadata)
		_, err := environmentFromEnv()
		if tt.refused == "" {
			require.NoError(t, err, tt.reason)
			continue
		}
		var field *FieldError
		require.ErrorAs(t, err, &field, tt.reason)
		require.Equal(t, tt.refused, field.Field, tt.reason)
		require.ErrorContains(t, err, envWellKnown)
	}
}

// To a resolver a dot at the end of a name makes no other host of it.
func TestEnvironmentsAreNotMixedByADot(t *testing.T) {
	for _, env := range []Environment{
		{Issuer: Prod.Issuer, TokenURL: "https://test.maskinporten.no./token"},
		{Issuer: Test.Issuer, TokenURL: "https://MASKINPORTEN.no./token"},
		{Issuer: Test.Issuer, TokenURL: Test.TokenURL, JWKSURL: "https://maskinporten.no.:443/jwk"},
	} {
		var field *FieldError
		require.ErrorAs(t, env.validate(), &field, "%+v", env)
	}
}
