package maskinporten_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/stretchr/testify/require"
)

const (
	own      = maskinportentest.DefaultOrgNumber
	customer = "313367002"
)

func newClient(t *testing.T, fake *maskinportentest.Fake) *maskinporten.Client {
	t.Helper()
	client, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	return client
}

func TestFiveThousandCallersMakeOnePost(t *testing.T) {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	client := newClient(t, fake)
	var wg sync.WaitGroup
	tokens := make([]*maskinporten.Token, 5000)
	for i := range tokens {
		wg.Go(func() {
			token, err := client.Token(t.Context(), maskinporten.Request{Scope: "skatteetaten:inntekt"})
			if err != nil {
				t.Error(err)
			}
			tokens[i] = token
		})
	}
	wg.Wait()
	require.Equal(t, 1, fake.TokenRequests())
	for _, token := range tokens {
		require.Same(t, tokens[0], token)
	}
}

func TestNewRefuses(t *testing.T) {
	good := maskinportentest.New().Config()
	for _, tt := range []struct {
		reason string
		change func(*maskinporten.Config)
		field  string
	}{
		{"no environment", func(c *maskinporten.Config) { c.Environment = maskinporten.Environment{} }, "Environment"},
		{"no issuer", func(c *maskinporten.Config) { c.Environment.Issuer = "" }, "Environment.Issuer"},
		{"a token endpoint without TLS", func(c *maskinporten.Config) { c.Environment.TokenURL = "http://test.maskinporten.no/token" }, "Environment.TokenURL"},
		{"a token endpoint that is a path", func(c *maskinporten.Config) { c.Environment.TokenURL = "/token" }, "Environment.TokenURL"},
		{"a token endpoint with a password", func(c *maskinporten.Config) { c.Environment.TokenURL = "https://u:p@x/token" }, "Environment.TokenURL"},
		{"a token endpoint with a query", func(c *maskinporten.Config) { c.Environment.TokenURL = "https://x/token?a=b" }, "Environment.TokenURL"},
		{"keys without TLS", func(c *maskinporten.Config) { c.Environment.JWKSURL = "http://x/jwk" }, "Environment.JWKSURL"},
		{"a bare question mark", func(c *maskinporten.Config) { c.Environment.TokenURL = "https://x/token?" }, "Environment.TokenURL"},
		{"a bare hash", func(c *maskinporten.Config) { c.Environment.Issuer = "https://x/#" }, "Environment.Issuer"},
		{"no scheme", func(c *maskinporten.Config) { c.Environment.TokenURL = "x/token" }, "Environment.TokenURL"},
		{"no host", func(c *maskinporten.Config) { c.Environment.TokenURL = "https://:443/token" }, "Environment.TokenURL"},
		{"a line break", func(c *maskinporten.Config) { c.Environment.TokenURL += "\n" }, "Environment.TokenURL"},
		{"test's issuer with prod's token endpoint", func(c *maskinporten.Config) {
			c.Environment = maskinporten.Environment{Issuer: maskinporten.Test.Issuer, TokenURL: maskinporten.Prod.TokenURL}
		}, "Environment.TokenURL"},
		{"prod's issuer with test's token endpoint", func(c *maskinporten.Config) {
			c.Environment = maskinporten.Environment{Issuer: maskinporten.Prod.Issuer, TokenURL: maskinporten.Test.TokenURL}
		}, "Environment.TokenURL"},
		{"prod's keys with test's tokens", func(c *maskinporten.Config) {
			c.Environment = maskinporten.Test
			c.Environment.JWKSURL = maskinporten.Prod.JWKSURL
		}, "Environment.JWKSURL"},
		{"another issuer with test's token endpoint", func(c *maskinporten.Config) {
			c.Environment = maskinporten.Environment{Issuer: "https://x/", TokenURL: maskinporten.Test.TokenURL}
		}, "Environment.TokenURL"},
		{"the token endpoint as some guides print it", func(c *maskinporten.Config) {
			c.Environment = maskinporten.Environment{Issuer: maskinporten.Test.Issuer, TokenURL: "https://test.maskinporten.no/"}
		}, "Environment.TokenURL"},
		{"no client id", func(c *maskinporten.Config) { c.ClientID = "" }, "ClientID"},
		{"a blank client id", func(c *maskinporten.Config) { c.ClientID = " " }, "ClientID"},
		{"a client id with a blank after it", func(c *maskinporten.Config) { c.ClientID += " " }, "ClientID"},
		{"a client id with a line break", func(c *maskinporten.Config) { c.ClientID += "\n" }, "ClientID"},
		{"no credential", func(c *maskinporten.Config) { c.Credential = nil }, "Credential"},
		{"a nil credential", func(c *maskinporten.Config) { c.Credential = (*maskinporten.Credential)(nil) }, "Credential"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			cfg := good
			tt.change(&cfg)
			_, err := maskinporten.New(cfg)
			requireField(t, err, tt.field)
		})
	}
	cfg := good
	cfg.Environment.TokenURL, cfg.Environment.JWKSURL = "http://127.0.0.1:1/token", "http://localhost:1/jwk"
	_, err := maskinporten.New(cfg)
	require.NoError(t, err, "a loopback address may be called without TLS")
	cfg.Environment = maskinporten.Environment{Issuer: maskinporten.Test.Issuer, TokenURL: "https://proxy.example/token", JWKSURL: maskinporten.Test.JWKSURL}
	_, err = maskinporten.New(cfg)
	require.NoError(t, err, "a gateway of one's own")
	cfg.ClientID = "Någon Försäkring AB"
	_, err = maskinporten.New(cfg)
	require.NoError(t, err, "an organisation's name, for an eSeal")
	cfg.ClientID = "313367002\n"
	_, err = maskinporten.New(cfg)
	require.ErrorContains(t, err, `"313367002\n"`, "white space is shown")
}

func requireField(t *testing.T, err error, field string) {
	t.Helper()
	var f *maskinporten.FieldError
	require.ErrorAs(t, err, &f)
	require.Equal(t, field, f.Field)
	require.NotEmpty(t, f.Problem)
}

func TestBadRequestsAreRefusedBeforeAnythingIsSent(t *testing.T) {
	fake := maskinportentest.New()
	client := newClient(t, fake)
	consent := maskinporten.Consent{ID: "77ed8698-4d9b-4a3b-8f9e-1a7cdbc1f0aa", From: "urn:altinn:organization:identifier-no:" + customer}
	for _, tt := range []struct {
		reason  string
		request maskinporten.Request
		field   string
	}{
		{"no scope", maskinporten.Request{}, "Request.Scope"},
		{"only spaces", maskinporten.Request{Scope: "  "}, "Request.Scope"},
		{"a scope with a line break", maskinporten.Request{Scope: "skatteetaten:inntekt\n"}, "Request.Scope"},
		{"scopes with a comma between", maskinporten.Request{Scope: "a,b"}, "Request.Scope"},
		{"a scope with a tab", maskinporten.Request{Scope: "a\tb"}, "Request.Scope"},
		{"a scope outside ASCII", maskinporten.Request{Scope: "skatteetaten:lønn"}, "Request.Scope"},
		{"an organisation number that fails the check", maskinporten.Request{Scope: "s", ConsumerOrg: "123456789"}, "Request.ConsumerOrg"},
		{"eight digits", maskinporten.Request{Scope: "s", ConsumerOrg: "31336700"}, "Request.ConsumerOrg"},
		{"the ISO form, which the claim does not take", maskinporten.Request{Scope: "s", ConsumerOrg: "0192:" + customer}, "Request.ConsumerOrg"},
		{"the certificate's own organisation", maskinporten.Request{Scope: "s", ConsumerOrg: own}, "Request.ConsumerOrg"},
		{"a pid of ten digits", maskinporten.Request{Scope: "s", PID: "1234567890"}, "Request.PID"},
		{"a pid with a space", maskinporten.Request{Scope: "s", PID: "123456 78901"}, "Request.PID"},
		{"both delegations", maskinporten.Request{Scope: "s", ConsumerOrg: customer, OnBehalfOf: "x"}, "Request.OnBehalfOf"},
		{"a resource that is no URI", maskinporten.Request{Scope: "s", Resource: "api"}, "Request.Resource"},
		{"a resource with a fragment", maskinporten.Request{Scope: "s", Resource: "https://api.example.no/#a"}, "Request.Resource"},
		{"a resource with an empty fragment", maskinporten.Request{Scope: "s", Resource: "https://api.example.no/#"}, "Request.Resource"},
		{"a system user without an owner", maskinporten.Request{Scope: "s", SystemUser: maskinporten.SystemUser{ExternalRef: "a"}}, "Request.SystemUser.OrgNumber"},
		{"a system user's reference with a space", maskinporten.Request{Scope: "s", SystemUser: maskinporten.SystemUser{OrgNumber: customer, ExternalRef: "a b"}}, "Request.SystemUser.ExternalRef"},
		{"a system user's reference too long", maskinporten.Request{Scope: "s", SystemUser: maskinporten.SystemUser{OrgNumber: customer, ExternalRef: strings.Repeat("ø", 256)}}, "Request.SystemUser.ExternalRef"},
		{"a consent without a giver", maskinporten.Request{Scope: "s", Consent: maskinporten.Consent{ID: consent.ID}}, "Request.Consent.From"},
		{"a consent without an id", maskinporten.Request{Scope: "s", Consent: maskinporten.Consent{From: consent.From}}, "Request.Consent.ID"},
		{"a consent from a bare number", maskinporten.Request{Scope: "s", Consent: maskinporten.Consent{ID: consent.ID, From: customer}}, "Request.Consent.From"},
		{"two parties in one grant", maskinporten.Request{Scope: "s", Consent: consent, SystemUser: maskinporten.SystemUser{OrgNumber: customer}}, "Request.Consent"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			_, err := client.Token(t.Context(), tt.request)
			requireField(t, err, tt.field)
			_, err = client.TokenSource(tt.request)
			requireField(t, err, tt.field)
			_, err = client.Transport(tt.request, nil, "api.example.no")
			requireField(t, err, tt.field)
		})
	}
	require.Zero(t, fake.TokenRequests())
	require.Zero(t, client.Stats().Entries)
}

// A source is not read before a token is asked for, so the owner is known
// only then; still nothing is sent.
func TestOwnOrganisationIsRefusedWithASourceToo(t *testing.T) {
	fake := maskinportentest.New()
	cfg := fake.Config()
	path := filepath.Join(t.TempDir(), "keystore.p12")
	require.NoError(t, os.WriteFile(path, maskinportentest.Certificate{OrgNumber: own}.PKCS12("p"), 0o600))
	cfg.Credential = maskinporten.PKCS12File(path, "p")
	client, err := maskinporten.New(cfg)
	require.NoError(t, err)
	_, err = client.Token(t.Context(), maskinporten.Request{Scope: "s", ConsumerOrg: own})
	requireField(t, err, "Request.ConsumerOrg")
	require.Zero(t, fake.TokenRequests())
	_, err = client.Token(t.Context(), maskinporten.Request{Scope: "s"})
	require.NoError(t, err)
}

func TestKeysThatMaskinportenDoesNotTake(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, err = maskinporten.NewKeyCredential(ec, "k")
	require.ErrorIs(t, err, maskinporten.ErrUnusableKey)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	_, err = maskinporten.NewKeyCredential(small, "k")
	require.ErrorIs(t, err, maskinporten.ErrUnusableKey)
	require.ErrorContains(t, err, "1024 bits")
}

func TestScopesInAnyOrderAreOneKey(t *testing.T) {
	fake := maskinportentest.New()
	client := newClient(t, fake)
	first, err := client.Token(t.Context(), maskinporten.Request{Scope: "b a"})
	require.NoError(t, err)
	for _, scope := range []string{"a b", "b a", "  a   b ", "a b a"} {
		token, err := client.Token(t.Context(), maskinporten.Request{Scope: scope})
		require.NoError(t, err)
		require.Same(t, first, token, "%q", scope)
	}
	for _, other := range []maskinporten.Request{{Scope: "a"}, {Scope: "a bb"}, {Scope: "ab"}, {Scope: "a b", ConsumerOrg: customer}, {Scope: "a b", PID: "12345678901"}, {Scope: "a b", Resource: "https://x.no"}} {
		token, err := client.Token(t.Context(), other)
		require.NoError(t, err)
		require.NotSame(t, first, token, "%v", other)
	}
	require.Equal(t, 7, fake.TokenRequests())
}

func TestVer2IsWarnedOf(t *testing.T) {
	var log bytes.Buffer
	cfg := maskinportentest.New().Config()
	cfg.Environment = maskinporten.Ver2
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	_, err := maskinporten.New(cfg)
	require.NoError(t, err)
	require.Contains(t, log.String(), "phased out")
}

func TestDiscover(t *testing.T) {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	env, err := maskinporten.Discover(t.Context(), nil, fake.WellKnownURL())
	require.NoError(t, err)
	require.Equal(t, fake.Environment(), env)

	const wellKnown = "/.well-known/oauth-authorization-server"
	for _, tt := range []struct {
		reason string
		path   string
		answer func(base string) (int, string)
		ok     bool
	}{
		{"an issuer without a slash is kept so", wellKnown, func(b string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, b, b+"/token")
		}, true},
		{"an issuer with a path", wellKnown + "/tenant", func(b string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, b+"/tenant", b+"/token")
		}, true},
		{"another issuer than was asked", wellKnown, func(b string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":"https://maskinporten.no/","token_endpoint":%q}`, b+"/token")
		}, false},
		{"a token endpoint without TLS", wellKnown, func(b string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":"http://example.no/token"}`, b)
		}, false},
		{"no token endpoint", wellKnown, func(b string) (int, string) { return 200, fmt.Sprintf(`{"issuer":%q}`, b) }, false},
		{"not JSON", wellKnown, func(string) (int, string) { return 200, "<html>" }, false},
		{"an error", wellKnown, func(string) (int, string) { return 503, "" }, false},
		{"too large", wellKnown, func(b string) (int, string) {
			return 200, fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q,"x":%q}`, b, b+"/token", strings.Repeat("x", 1<<20))
		}, false},
		{"a redirect", wellKnown, func(string) (int, string) { return 302, "" }, false},
		{"OpenID's path", "/.well-known/openid-configuration", func(b string) (int, string) { return 200, "{}" }, false},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				status, body := tt.answer(server.URL)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
				fmt.Fprint(w, body)
			}))
			defer server.Close()
			env, err := maskinporten.Discover(t.Context(), nil, server.URL+tt.path)
			if !tt.ok {
				require.Error(t, err)
				require.Zero(t, env)
				return
			}
			require.NoError(t, err)
			require.Equal(t, server.URL+"/token", env.TokenURL)
			require.False(t, strings.HasSuffix(env.Issuer, "/"))
		})
	}
	_, err = maskinporten.Discover(t.Context(), nil, "http://example.no"+wellKnown)
	requireField(t, err, "wellKnownURL")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = maskinporten.Discover(ctx, nil, fake.WellKnownURL())
	require.ErrorIs(t, err, context.Canceled)
}

func TestConfigFromEnv(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	p12 := write("a.p12", maskinportentest.Certificate{OrgNumber: own}.PKCS12("passord"))
	passwordFile := write("password", []byte("passord\n"))
	jwk := string(maskinportentest.JWK("key-1"))
	for _, tt := range []struct {
		reason string
		env    map[string]string
		fields []string // what the error names; none: it is good
	}{
		{"a keystore in test", map[string]string{"ENV": "test", "CLIENT_ID": "c", "KEYSTORE_PATH": p12, "KEYSTORE_PASSWORD": "passord"}, nil},
		{"its password in a file", map[string]string{"ENV": "test", "CLIENT_ID": "c", "KEYSTORE_PATH": p12, "KEYSTORE_PASSWORD_FILE": passwordFile}, nil},
		{"a certificate registered on the client", map[string]string{"ENV": "prod", "CLIENT_ID": "c", "KEYSTORE_PATH": p12, "KEYSTORE_PASSWORD": "passord", "KEY_ID": "k"}, nil},
		{"as NAIS injects it", map[string]string{"ISSUER": maskinporten.Test.Issuer, "TOKEN_ENDPOINT": maskinporten.Test.TokenURL, "JWKS_URI": maskinporten.Test.JWKSURL, "WELL_KNOWN_URL": "https://test.maskinporten.no/.well-known/oauth-authorization-server", "CLIENT_ID": "c", "CLIENT_JWK": jwk}, nil},
		{"as NAIS injects it today", map[string]string{"ISSUER": maskinporten.Test.Issuer, "TOKEN_ENDPOINT": maskinporten.Test.TokenURL, "WELL_KNOWN_URL": "https://test.maskinporten.no/.well-known/oauth-authorization-server", "CLIENT_ID": "c", "CLIENT_JWK": jwk, "SCOPES": "a b"}, nil},
		{"prod by its metadata's URL", map[string]string{"WELL_KNOWN_URL": "https://maskinporten.no/.well-known/oauth-authorization-server", "CLIENT_ID": "c", "CLIENT_JWK": jwk}, nil},
		{"quotation marks around the issuer", map[string]string{"ISSUER": `"` + maskinporten.Test.Issuer + `"`, "TOKEN_ENDPOINT": maskinporten.Test.TokenURL, "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_ISSUER"}},
		{"quotation marks around the client id", map[string]string{"ENV": "test", "CLIENT_ID": "'c'", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_CLIENT_ID"}},
		{"quotation marks around the environment", map[string]string{"ENV": `"test"`, "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_ENV"}},
		{"a token endpoint of another environment", map[string]string{"ISSUER": maskinporten.Test.Issuer, "TOKEN_ENDPOINT": maskinporten.Prod.TokenURL, "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"Environment.TokenURL"}},
		{"nothing: all of it at once", nil, []string{"MASKINPORTEN_ENV", "MASKINPORTEN_CLIENT_ID", "MASKINPORTEN_KEYSTORE_PATH"}},
		{"an environment that is none", map[string]string{"ENV": "ver3", "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_ENV"}},
		{"an issuer alone", map[string]string{"ISSUER": "https://x/", "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_TOKEN_ENDPOINT"}},
		{"a token endpoint alone", map[string]string{"TOKEN_ENDPOINT": "https://x/", "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_ISSUER"}},
		{"a well-known URL alone", map[string]string{"WELL_KNOWN_URL": "https://x/", "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_ENV"}},
		{"two environments", map[string]string{"ENV": "test", "ISSUER": maskinporten.Prod.Issuer, "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_ENV"}},
		{"one environment named twice", map[string]string{"ENV": "test", "ISSUER": maskinporten.Test.Issuer, "CLIENT_ID": "c", "CLIENT_JWK": jwk}, nil},
		{"two credentials", map[string]string{"ENV": "test", "CLIENT_ID": "c", "KEYSTORE_PATH": p12, "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_KEYSTORE_PATH"}},
		{"two passwords", map[string]string{"ENV": "test", "CLIENT_ID": "c", "KEYSTORE_PATH": p12, "KEYSTORE_PASSWORD": "a", "KEYSTORE_PASSWORD_FILE": passwordFile}, []string{"MASKINPORTEN_KEYSTORE_PASSWORD"}},
		{"a wrong password is seen at start", map[string]string{"ENV": "test", "CLIENT_ID": "c", "KEYSTORE_PATH": p12, "KEYSTORE_PASSWORD": "wrong"}, []string{"MASKINPORTEN_KEYSTORE_PASSWORD"}},
		{"no password", map[string]string{"ENV": "test", "CLIENT_ID": "c", "KEYSTORE_PATH": p12}, []string{"MASKINPORTEN_KEYSTORE_PASSWORD"}},
		{"a wrong password in its file", map[string]string{"ENV": "test", "CLIENT_ID": "c", "KEYSTORE_PATH": p12, "KEYSTORE_PASSWORD_FILE": p12}, []string{"MASKINPORTEN_KEYSTORE_PASSWORD_FILE"}},
		{"a client id with a line break", map[string]string{"ENV": "test", "CLIENT_ID": "c\n", "CLIENT_JWK": jwk}, []string{"MASKINPORTEN_CLIENT_ID"}},
		{"an environment with spaces around it", map[string]string{"ENV": " Test ", "CLIENT_ID": "c", "CLIENT_JWK": jwk}, nil},
		{"an issuer without its slash", map[string]string{"ISSUER": "https://maskinporten.no", "TOKEN_ENDPOINT": maskinporten.Prod.TokenURL, "CLIENT_ID": "c", "CLIENT_JWK": jwk}, []string{"Environment.Issuer"}},
		{"a file that is not there", map[string]string{"ENV": "test", "CLIENT_ID": "c", "KEYSTORE_PATH": filepath.Join(dir, "none")}, []string{"MASKINPORTEN_KEYSTORE_PATH"}},
		{"a JWK that is none", map[string]string{"ENV": "test", "CLIENT_ID": "c", "CLIENT_JWK": "{"}, []string{"MASKINPORTEN_CLIENT_JWK"}},
		{"another key id than the JWK's", map[string]string{"ENV": "test", "CLIENT_ID": "c", "CLIENT_JWK": jwk, "KEY_ID": "key-2"}, nil},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			setEnv(t, tt.env)
			cfg, err := maskinporten.ConfigFromEnv()
			for _, field := range tt.fields {
				require.ErrorContains(t, err, field)
			}
			if tt.fields != nil {
				require.Zero(t, cfg)
				joined, ok := err.(interface{ Unwrap() []error })
				require.True(t, ok)
				require.Len(t, joined.Unwrap(), len(tt.fields))
				requireField(t, err, tt.fields[0])
				return
			}
			require.NoError(t, err)
			require.NotEmpty(t, cfg.Environment.JWKSURL, "that of Digdir's environments is known")
			_, err = maskinporten.New(cfg)
			require.NoError(t, err)
			cred, err := cfg.Credential.Credential(t.Context())
			require.NoError(t, err)
			require.Equal(t, tt.env["CLIENT_JWK"] == "", cred.OrgNumber() == own)
		})
	}
}

func setEnv(t *testing.T, env map[string]string) {
	t.Helper()
	for _, name := range []string{"ENV", "ISSUER", "TOKEN_ENDPOINT", "JWKS_URI", "WELL_KNOWN_URL", "CLIENT_ID", "KEYSTORE_PATH", "KEYSTORE_PASSWORD", "KEYSTORE_PASSWORD_FILE", "KEYSTORE_BASE64", "CLIENT_PEM", "CLIENT_JWK", "KEY_ID", "SCOPES", "CONSUMER_ORG"} {
		t.Setenv("MASKINPORTEN_"+name, "") // restores it when the test ends
		if value, ok := env[name]; ok {
			t.Setenv("MASKINPORTEN_"+name, value)
		} else {
			os.Unsetenv("MASKINPORTEN_" + name)
		}
	}
}

func TestRequestFromEnv(t *testing.T) {
	setEnv(t, map[string]string{"SCOPES": "b a", "CONSUMER_ORG": customer})
	r, err := maskinporten.RequestFromEnv()
	require.NoError(t, err)
	require.Equal(t, maskinporten.Request{Scope: "b a", ConsumerOrg: customer}, r)
	setEnv(t, nil)
	_, err = maskinporten.RequestFromEnv()
	requireField(t, err, "MASKINPORTEN_SCOPES")
	setEnv(t, map[string]string{"SCOPES": "a", "CONSUMER_ORG": "123456789"})
	_, err = maskinporten.RequestFromEnv()
	requireField(t, err, "Request.ConsumerOrg")
}

func TestRequestShowsNoPerson(t *testing.T) {
	r := maskinporten.Request{Scope: "s", PID: "12345678901"}
	raw, err := json.Marshal(r)
	require.NoError(t, err)
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%+v %#v %d", r, &r, r), string(raw)} {
		require.NotContains(t, text, "12345678901")
		require.Contains(t, text, "hidden")
	}
	require.Equal(t, `Request{Scope: "s"}`, fmt.Sprint(maskinporten.Request{Scope: "s"}))
}
