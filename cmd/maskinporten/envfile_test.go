package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestQuotationMarks has each variable in quotation marks, in an env file and,
// as docker hands that over, in the environment: doctor says which it is.
func TestQuotationMarks(t *testing.T) {
	stored := func(name string) string {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "keystores", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	p12, jwk := stored("openssl-modern.p12"), strings.Join(strings.Fields(stored("odd/d-only.json")), "")
	pem := strings.ReplaceAll(stored("pki/key.pem")+stored("pki/leaf.pem")+stored("pki/ca.pem"), "\n", `\n`)
	for _, c := range []struct {
		name, value string
		without     string // the variable that stands against it
		loads       bool   // in the environment: the library takes the quotation marks away
	}{
		{"MASKINPORTEN_ENV", "test", "", false},
		{"MASKINPORTEN_ISSUER", "https://test.maskinporten.no/", "MASKINPORTEN_ENV", false},
		{"MASKINPORTEN_TOKEN_ENDPOINT", "https://test.maskinporten.no/token", "MASKINPORTEN_ENV", false},
		{"MASKINPORTEN_JWKS_URI", "https://test.maskinporten.no/jwk", "MASKINPORTEN_ENV", false},
		{"MASKINPORTEN_WELL_KNOWN_URL", "https://test.maskinporten.no/.well-known/oauth-authorization-server", "MASKINPORTEN_ENV", false},
		{"MASKINPORTEN_CLIENT_ID", "c", "", false},
		{"MASKINPORTEN_KEYSTORE_PATH", "store.p12", "", false},
		{"MASKINPORTEN_KEYSTORE_BASE64", base64.StdEncoding.EncodeToString([]byte(p12)), "MASKINPORTEN_KEYSTORE_PATH", true},
		{"MASKINPORTEN_CLIENT_PEM", pem, "MASKINPORTEN_KEYSTORE_PATH", true},
		{"MASKINPORTEN_CLIENT_JWK", jwk, "MASKINPORTEN_KEYSTORE_PATH", false},
		{"MASKINPORTEN_KEYSTORE_PASSWORD", "changeit", "", false},
		{"MASKINPORTEN_KEYSTORE_PASSWORD_FILE", "password", "MASKINPORTEN_KEYSTORE_PASSWORD", false},
		{"MASKINPORTEN_KEY_ID", "k", "", false},
		{"MASKINPORTEN_SCOPES", "skatteetaten:inntekt", "", false},
		{"MASKINPORTEN_CONSUMER_ORG", "974760673", "", false},
		{"MASKINPORTEN_SELF_SERVICE_URL", "https://api.test.samarbeid.digdir.no/api/v1", "", false},
		{"HTTPS_PROXY", "http://proxy.example:8080", "", false},
		{"NO_PROXY", "127.0.0.1", "", false},
		{"SSL_CERT_FILE", "ca.pem", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSetup(t)
			s.file("store.p12", []byte(p12))
			s.file("password", []byte("changeit"))
			for name, value := range map[string]string{
				"MASKINPORTEN_ENV": "test", "MASKINPORTEN_CLIENT_ID": "c", "MASKINPORTEN_SCOPES": "skatteetaten:inntekt",
				"MASKINPORTEN_KEYSTORE_PATH": "store.p12", "MASKINPORTEN_KEYSTORE_PASSWORD": "changeit",
			} {
				if name != c.without {
					s.env[name] = value
				}
			}
			hint := func(args ...string) {
				t.Helper()
				found, status := s.doctor(append(args, "--offline", "--fail-on", "warning")...)
				for _, step := range found.Steps[:2] {
					if text := step.Summary + step.Remedy; strings.Contains(text, "quotation marks") && strings.Contains(text, c.name) && status == 1 {
						return
					}
				}
				t.Errorf("exit status %d: %+v", status, found.Steps[:2])
			}
			hint("--env-file", s.file("quoted.env", []byte(c.name+`="`+c.value+"\"\n")))
			s.env[c.name] = "'" + c.value + "'"
			if !c.loads {
				hint()
			} else if _, status := s.doctor("--offline"); status != 0 {
				t.Errorf("exit status %d", status)
			}
		})
	}
}

// What other readers of such files take away, or take together, is pointed out,
// and no value is shown.
func TestOddEnvFiles(t *testing.T) {
	for _, c := range []struct{ reason, content, says string }{
		{"a space after the quotation marks", `MASKINPORTEN_KEYSTORE_PASSWORD="secret-password" `, "begins and ends with quotation marks"},
		{"a comment after the quotation marks", `MASKINPORTEN_KEYSTORE_PASSWORD='secret-password' # of 2026`, "begins and ends with quotation marks"},
		{"a comment", `MASKINPORTEN_CLIENT_ID=c # of 2026`, "begins no comment"},
		{"a space", `MASKINPORTEN_CLIENT_ID=c `, "begins or ends with a space"},
		{"a quotation mark that stays open", "MASKINPORTEN_CLIENT_PEM=\"secret-password\nabc=\n\"", "begins with a quotation mark"},
		{"a name in quotation marks", `"MASKINPORTEN_CLIENT_ID"=c`, "the name of the variable has quotation marks"},
		{"a space before =", `MASKINPORTEN_CLIENT_ID = c`, "leave out the space before ="},
		{"export", `export MASKINPORTEN_CLIENT_ID=c`, "leave out export"},
		{"PEM as it is", "MASKINPORTEN_CLIENT_PEM=-----BEGIN RSA KEY-----\nsecret-password\n-----END RSA KEY-----", "does not go on over several lines"},
		{"a JWK as it is", "MASKINPORTEN_CLIENT_JWK={\n  \"kty\": \"RSA\"\n}", "does not go on over several lines"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			s := newSetup(t)
			if r := s.run("token", "--env-file", s.file("x.env", []byte(c.content+"\n"))); r.status != 1 || !strings.Contains(r.stderr, c.says) {
				t.Errorf("exit status %d: %s", r.status, r.stderr)
			}
		})
	}
}
