package maskinportentest_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

func writeFile(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func TestConfigure(t *testing.T) {
	dir := t.TempDir()
	_, ca := foreignStore(t, otherOrg)
	writeFile(t, dir, "ca.pem", ca)
	writeFile(t, dir, "key.json", marshal(t, jwkOf(&testKey().PublicKey, "k1")))
	path := writeFile(t, dir, "fake.json", []byte(`{
		"as_deployed": true, "omit_codes": false, "token_lifetime": 300, "clock_offset": 2, "arrival": 60,
		"ca_files": ["ca.pem"],
		"clients": [
			{"id": "keys", "org_number": "313367002", "scopes": ["bank:saldo", "bank:lan"], "token_lifetime": 60, "keys": [{"file": "key.json"}]},
			{"id": "inline", "keys": [{"id": "k2", "jwk": `+string(marshal(t, jwkOf(&testKey().PublicKey, "k1")))+`, "expires": "2001-01-01T00:00:00Z"}]}
		],
		"scopes": [{"name": "bank:lan", "max_lifetime": 30}, {"name": "bank:apen", "open": true}],
		"access": [{"scope": "bank:pant", "org_numbers": ["974760673"]}, {"scope": "bank:a", "state": "DENIED", "org_numbers": ["910753614"]}],
		"delegations": [{"scope": "bank:saldo", "consumer": "974760673", "supplier": "313367002"}],
		"undelegated": [{"scope": "bank:lan", "consumer": "974760673", "supplier": "313367002"}],
		"tokens": [{"scope": "bank:saldo", "claims": {"ekstra": true}}],
		"faults": [{"times": 1, "mp_code": "MP-130", "client_id": "keys"}]
	}`))
	fake := maskinportentest.New()
	require.NoError(t, fake.Configure(path))
	grant := func(client, kid, scope, consumer string) said {
		g := newRaw(fake.Environment())
		g.claims["iss"], g.claims["scope"] = client, scope
		if kid != "" {
			g.useKey(kid)
		}
		if consumer != "" {
			g.claims["consumer_org"] = consumer
		}
		return post(t, fake, g.sign(t))
	}
	require.Equal(t, "MP-130", grant("keys", "k1", "bank:saldo", "").mp(), "the fault")
	s := grant("keys", "k1", "bank:saldo", "")
	require.Equal(t, 60, s.ExpiresIn)
	require.Equal(t, true, claimsOf(t, s.AccessToken)["ekstra"])
	require.Equal(t, 30, grant("keys", "k1", "bank:lan", "").ExpiresIn)
	require.Equal(t, "MP-200", grant("keys", "k1", "bank:pant", "").mp())
	require.Equal(t, http.StatusOK, grant("keys", "k1", "bank:saldo", thirdOrg).Status)
	require.Equal(t, "MP-251", grant("keys", "k1", "bank:lan", thirdOrg).mp())
	require.Equal(t, "MP-121", grant("inline", "k2", "bank:saldo", "").mp())
	require.Equal(t, 300, grant(maskinportentest.DefaultClientID, "", "bank:saldo", "").ExpiresIn)
	require.Equal(t, "MP-250", grant(maskinportentest.DefaultClientID, "", "bank:pant", "").mp())
	require.Equal(t, "MP-250", grant(maskinportentest.DefaultClientID, "", "bank:a", "").mp())
}

// A mistake in the file is an error that says where it is.
func TestConfigureRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ reason, text, says string }{
		{"no JSON", `{`, "is not a configuration in JSON: unexpected"},
		{"nothing", ``, "is not a configuration in JSON"},
		{"two objects", `{} {}`, "something stands after"},
		{"a misspelt name", `{"client": []}`, `"client"`},
		{"a client without id", `{"clients": [{"name": "x"}]}`, "clients[0]: id"},
		{"a missing key file", `{"clients": [{"id": "x", "keys": [{"file": "nowhere.pem"}]}]}`, "nowhere.pem"},
		{"a bad key", `{"clients": [{"id": "x", "keys": [{"jwk": {"kty": "EC", "kid": "a"}}]}]}`, "keys[0]"},
		{"a bad CA", `{"ca_files": ["bad.json"]}`, "ca_files: bad.json"},
		{"an unknown state", `{"access": [{"scope": "a", "state": "OK"}]}`, "APPROVED"},
		{"an unknown code", `{"faults": [{"mp_code": "MP-9"}]}`, "faults[0]"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			err := maskinportentest.New().Configure(writeFile(t, dir, "bad.json", []byte(tt.text)))
			require.ErrorContains(t, err, tt.says)
		})
	}
	require.ErrorContains(t, maskinportentest.New().Configure(filepath.Join(dir, "nowhere.json")), "nowhere.json")
}

// What WriteEnvironment writes makes ConfigFromEnv's client work.
func TestWriteEnvironment(t *testing.T) {
	plain, secure := maskinportentest.NewServer(), maskinportentest.NewTLSServer()
	defer plain.Close()
	defer secure.Close()
	for _, fake := range []*maskinportentest.Fake{plain, secure} {
		fake.AddClient(maskinportentest.Integration{ID: "bank", OrgNumber: otherOrg})
		fake.AddClient(maskinportentest.Integration{ID: "keys", Keys: []maskinportentest.Key{{ID: "k1"}}})
		for _, id := range []string{"bank", "keys"} {
			t.Run(fake.URL()[:5]+" "+id, func(t *testing.T) {
				variables, err := fake.WriteEnvironment(t.TempDir(), id)
				require.NoError(t, err)
				for name, value := range variables {
					t.Setenv(name, value)
				}
				cfg, err := maskinporten.ConfigFromEnv()
				require.NoError(t, err)
				if fake == secure {
					require.Equal(t, string(fake.CA()), string(readFile(t, variables["SSL_CERT_FILE"])))
					cfg.HTTPClient = fake.HTTPClient() // the system's roots are read once
				} else {
					require.NotContains(t, variables, "SSL_CERT_FILE")
				}
				_, err = newClient(t, cfg).Token(t.Context(), maskinporten.Request{Scope: "bank:saldo"})
				require.NoError(t, err)
			})
		}
		_, err := fake.WriteEnvironment(t.TempDir(), "nobody")
		require.ErrorContains(t, err, "nobody")
		fake.AddClient(maskinportentest.Integration{ID: "own", Keys: []maskinportentest.Key{{ID: "k1", Public: &testKey().PublicKey}}})
		_, err = fake.WriteEnvironment(t.TempDir(), "own")
		require.ErrorContains(t, err, "its own")
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// A grant prints in one line that shows no token and no person.
func TestGrantString(t *testing.T) {
	fake := maskinportentest.New()
	fake.AsDeployed()
	var printed []string
	fake.OnGrant(func(g maskinportentest.Grant) { printed = append(printed, g.String()) })
	g := newRaw(fake.Environment())
	g.claims["pid"], g.claims["nbf"] = "25922947409", 1
	s := post(t, fake, g.sign(t))
	g.claims["iss"] = "nobody"
	refused := post(t, fake, g.sign(t))
	fake.FailNext(1, maskinportentest.Fault{Drop: true})
	_, err := fake.HTTPClient().Post(fake.Environment().TokenURL, "application/x-www-form-urlencoded", nil)
	require.Error(t, err)
	fake.OnGrant(nil)
	post(t, fake, "x")

	require.Len(t, printed, 3)
	require.Regexp(t, `^client "8f4c1f0e.*", Request{Scope: "bank:saldo", PID: .*}: 200 token; warning: Unknown claim nbf$`, printed[0])
	require.Contains(t, printed[1], `client "nobody"`)
	require.Contains(t, printed[1], "400 invalid_grant MP-100: Invalid assertion.")
	require.Contains(t, printed[1], "(trace_id: ")
	require.Contains(t, printed[2], "connection broken off")
	for _, line := range printed {
		require.NotContains(t, line, "25922947409")
		require.NotContains(t, line, s.AccessToken)
	}
	require.NotEmpty(t, refused.Description)
}

// A program in another language is given the variables that name the fake.
func ExampleFake_WriteEnvironment() {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	dir, err := os.MkdirTemp("", "fake")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	variables, err := fake.WriteEnvironment(dir, maskinportentest.DefaultClientID)
	fmt.Println(variables["MASKINPORTEN_CLIENT_ID"], filepath.Base(variables["MASKINPORTEN_KEYSTORE_PATH"]), err)
	// Output: 8f4c1f0e-5a3b-4c59-9a0e-3d1b0e6c7f21 virksomhetssertifikat.p12 <nil>
}
