package maskinporten_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maskinporten-go/maskinporten"
	"github.com/stretchr/testify/require"
)

// storedKeystore returns a file of testdata/keystores.
func storedKeystore(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "keystores", name))
	require.NoError(t, err)
	return b
}

// TestKeysFromEnv has keys in the variables as Kubernetes, Key Vault and docker hand them over.
func TestKeysFromEnv(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	key, leaf := storedKeystore(t, "pki/key.pem"), bytes.Join([][]byte{storedKeystore(t, "pki/leaf.pem"), storedKeystore(t, "pki/ca.pem")}, nil)
	p12 := storedKeystore(t, "openssl-modern.p12")
	b64 := base64.StdEncoding.EncodeToString(p12)
	pem := string(key) + string(leaf)
	p12Path, keyPath := write("keystore.p12", p12), write("tls.key", key)
	leafPath := write("tls.crt", leaf)
	pwPath, emptyPath := write("password", []byte("\xef\xbb\xbfchangeit\r\n")), write("empty", nil)
	jwk := string(storedKeystore(t, "odd/d-only.json"))
	noKid := strings.Replace(jwk, `"kid"`, `"navn"`, 1)
	list := leafPath + string(os.PathListSeparator) + keyPath

	for _, tt := range []struct {
		reason string
		env    map[string]string
		field  string // that the error names; none: it is good
		says   string
	}{
		{"base64 of a .p12", map[string]string{"KEYSTORE_BASE64": b64, "KEYSTORE_PASSWORD": "changeit"}, "", ""},
		{"base64 of a .p12, the password in a file", map[string]string{"KEYSTORE_BASE64": b64, "KEYSTORE_PASSWORD_FILE": pwPath}, "", ""},
		{"base64 of PEM", map[string]string{"KEYSTORE_BASE64": base64.StdEncoding.EncodeToString([]byte(pem))}, "", ""},
		{"base64 with a wrong password", map[string]string{"KEYSTORE_BASE64": b64, "KEYSTORE_PASSWORD": "feil"}, "KEYSTORE_PASSWORD", "wrong password"},
		{"base64 without a password", map[string]string{"KEYSTORE_BASE64": b64}, "KEYSTORE_PASSWORD", "is not set"},
		{"base64 of nothing known", map[string]string{"KEYSTORE_BASE64": "aGVpIGhlaSBoZWk="}, "KEYSTORE_BASE64", "not a keystore"},
		{"PEM", map[string]string{"CLIENT_PEM": pem}, "", ""},
		{"PEM with two characters for each line break", map[string]string{"CLIENT_PEM": strings.ReplaceAll(pem, "\n", `\n`)}, "", ""},
		{"PEM in quotation marks", map[string]string{"CLIENT_PEM": `"` + pem + `"`}, "", ""},
		{"a PEM key and its id", map[string]string{"CLIENT_PEM": string(key), "KEY_ID": "k"}, "", ""},
		{"a PEM key without an id", map[string]string{"CLIENT_PEM": string(key)}, "CLIENT_PEM", "MASKINPORTEN_KEY_ID"},
		{"a file with a PEM key, and its id", map[string]string{"KEYSTORE_PATH": keyPath, "KEY_ID": "k"}, "", ""},
		{"a folder", map[string]string{"KEYSTORE_PATH": dir}, "", ""},
		{"two files", map[string]string{"KEYSTORE_PATH": list}, "", ""},
		{"a JWK without kid, and its id", map[string]string{"CLIENT_JWK": noKid, "KEY_ID": "k"}, "", ""},
		{"a JWK without kid", map[string]string{"CLIENT_JWK": noKid}, "CLIENT_JWK", "MASKINPORTEN_KEY_ID"},
		{"a JWK in a file", map[string]string{"KEYSTORE_PATH": write("jwk.json", []byte(jwk))}, "", ""},
		{"two of them", map[string]string{"CLIENT_PEM": pem, "KEYSTORE_BASE64": b64}, "KEYSTORE_BASE64", "both set"},
		{"the key itself for a path", map[string]string{"KEYSTORE_PATH": pem}, "KEYSTORE_PATH", "use MASKINPORTEN_CLIENT_PEM"},
		{"base64 for a path", map[string]string{"KEYSTORE_PATH": b64}, "KEYSTORE_PATH", "use MASKINPORTEN_KEYSTORE_BASE64"},
		{"a JWK for a path", map[string]string{"KEYSTORE_PATH": jwk}, "KEYSTORE_PATH", "use MASKINPORTEN_CLIENT_JWK"},
		{"path and password swapped", map[string]string{"KEYSTORE_PATH": "changeit", "KEYSTORE_PASSWORD": p12Path}, "KEYSTORE_PATH", "the wrong way round"},
		{"docker's quotation marks around a path", map[string]string{"KEYSTORE_PATH": `"` + p12Path + `"`, "KEYSTORE_PASSWORD": "changeit"}, "KEYSTORE_PATH", "quotation marks"},
		{"docker's quotation marks around a JWK", map[string]string{"CLIENT_JWK": "'" + jwk + "'"}, "CLIENT_JWK", "quotation marks"},
		{"docker's quotation marks around a password", map[string]string{"KEYSTORE_PATH": p12Path, "KEYSTORE_PASSWORD": `"changeit"`}, "KEYSTORE_PASSWORD", "quotation marks"},
		{"a line break after the password", map[string]string{"KEYSTORE_PATH": p12Path, "KEYSTORE_PASSWORD": "changeit\n"}, "KEYSTORE_PASSWORD", "white space"},
		{"a line break after the path", map[string]string{"KEYSTORE_PATH": p12Path + "\n", "KEYSTORE_PASSWORD": "changeit"}, "KEYSTORE_PATH", "white space"},
		{"a missing password file", map[string]string{"KEYSTORE_PATH": p12Path, "KEYSTORE_PASSWORD_FILE": filepath.Join(dir, "none")}, "KEYSTORE_PASSWORD_FILE", "no such file"},
		{"an empty password file", map[string]string{"KEYSTORE_PATH": p12Path, "KEYSTORE_PASSWORD_FILE": emptyPath}, "KEYSTORE_PASSWORD_FILE", "it is empty"},
		{"a password file with a byte order mark", map[string]string{"KEYSTORE_PATH": p12Path, "KEYSTORE_PASSWORD_FILE": pwPath}, "", ""},
		{"an empty password beside its file", map[string]string{"KEYSTORE_PATH": p12Path, "KEYSTORE_PASSWORD": "", "KEYSTORE_PASSWORD_FILE": pwPath}, "", ""},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			tt.env["ENV"], tt.env["CLIENT_ID"] = "test", "c"
			setEnv(t, tt.env)
			cfg, err := maskinporten.ConfigFromEnv()
			if tt.field != "" {
				requireField(t, err, "MASKINPORTEN_"+tt.field)
				require.ErrorContains(t, err, tt.says)
				for e := err; e != nil; e = errors.Unwrap(e) {
					require.Less(t, len(e.Error()), 500)
					for _, secret := range []string{"changeit", "PRIVATE KEY", b64[100:140], `"d"`} {
						require.NotContains(t, e.Error(), secret)
					}
				}
				return
			}
			require.NoError(t, err)
			client, err := maskinporten.New(cfg)
			require.NoError(t, err)
			cred, err := cfg.Credential.Credential(t.Context())
			require.NoError(t, err)
			require.Equal(t, tt.env["KEY_ID"], strings.TrimPrefix(cred.KeyID(), "k1"))
			require.Equal(t, cred.NotAfter(), client.Stats().NotAfter, "known from the start")
		})
	}
}

// TestKeyIDWinsOverJWK: what the log says of it, certificate_test.go tests.
func TestKeyIDWinsOverJWK(t *testing.T) {
	setEnv(t, map[string]string{"ENV": "test", "CLIENT_ID": "c", "CLIENT_JWK": string(storedKeystore(t, "odd/d-only.json")), "KEY_ID": "annen"})
	cfg, err := maskinporten.ConfigFromEnv()
	require.NoError(t, err)
	cred, err := cfg.Credential.Credential(t.Context())
	require.NoError(t, err)
	require.Equal(t, "annen", cred.KeyID())
}
