package selfservice_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"

	"github.com/maskinporten-go/maskinporten/resourceserver"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

var update = flag.Bool("update", false, "write what the code does now into the golden files")

// golden compares got with a file under testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run go test -update once")
	require.Equal(t, string(want), got)
}

const apiHost = "api.test.samarbeid.digdir.no"

// scripted is the self-service API with answers that a test gives; it records
// what it was sent.
type scripted struct {
	answer func(r *http.Request, body string) (status int, answer string)

	mu       sync.Mutex
	requests []string
}

func (s *scripted) sent() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	scope := "no token"
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		claims, err := resourceserver.UnverifiedClaims(token)
		if err != nil {
			panic(err)
		}
		scope = strings.Join(claims.Scopes, " ")
	}
	s.mu.Lock()
	s.requests = append(s.requests, fmt.Sprintf("%s %s\n%s\n%s", r.Method, r.URL, scope, indented(body)))
	s.mu.Unlock()
	status, answer := s.answer(r, string(body))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	io.WriteString(w, answer)
}

func indented(body []byte) string {
	if len(body) == 0 {
		return ""
	}
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		return string(body)
	}
	return b.String() + "\n"
}

func newScripted(t *testing.T, answer func(r *http.Request, body string) (int, string)) (*scripted, *selfservice.Client) {
	t.Helper()
	fake := maskinportentest.New()
	script := &scripted{answer: answer}
	fake.Handle(apiHost, script)
	admin, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	api, err := selfservice.New(admin, selfservice.Options{HTTPClient: fake.HTTPClient()})
	require.NoError(t, err)
	return script, api
}

const (
	clientID = "3fa85f64-5717-4562-b3fc-2c963f66afa6"

	// An integration with every kind of member that the API's pages show.
	integrationJSON = `{"client_id":"3fa85f64-5717-4562-b3fc-2c963f66afa6","client_name":"Pensjon","description":"Inntekt til pensjon",
		"scopes":["skatteetaten:inntekt"],"token_endpoint_auth_method":"private_key_jwt","grant_types":["urn:ietf:params:oauth:grant-type:jwt-bearer"],
		"integration_type":"maskinporten","application_type":"web","client_orgno":"910753614","supplier_orgno":"889640782","active":true,
		"created":"2026-01-02T03:04:05.678+01:00","last_updated":"2026-02-03T04:05:06+0100",
		"access_token_lifetime":120,"authorization_lifetime":0,"logo_uri":null,"sso_disabled":false,"jwks":{"keys":[]}}`

	oldKeyJSON = `{"kid":"old","kty":"RSA","alg":"RS256","n":"%s","e":"AQAB","exp":4070908800}`
)

// TestWire holds what is sent for each operation to golden files.
func TestWire(t *testing.T) {
	modulus := strings.Repeat("8", 341) + "w" // 2048 bits; nobody signs with it
	key, err := selfservice.ParseKey(fmt.Appendf(nil, `{"kid":"new","kty":"RSA","alg":"RS256","n":"%s","e":"AQAB"}`, modulus))
	require.NoError(t, err)
	old := fmt.Sprintf(oldKeyJSON, modulus)

	for _, tt := range []struct {
		name string
		do   func(context.Context, *selfservice.Client) error
	}{
		{"integrations", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.Integrations(ctx, false)
			return err
		}},
		{"integrations-inactive", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.Integrations(ctx, true)
			return err
		}},
		{"integration", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.Integration(ctx, clientID)
			return err
		}},
		{"create", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.Create(ctx, selfservice.Integration{Name: "Pensjon", Description: "Inntekt til pensjon", Scopes: []string{"skatteetaten:inntekt"}})
			return err
		}},
		{"create-for-customer", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.Create(ctx, selfservice.Integration{Name: "Pensjon", Scopes: []string{"skatteetaten:inntekt"}, OrgNumber: "889640782"})
			return err
		}},
		{"update", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.Update(ctx, clientID, func(i *selfservice.Integration) error {
				i.Description = "changed"
				return nil
			})
			return err
		}},
		{"deactivate", func(ctx context.Context, c *selfservice.Client) error { return c.Deactivate(ctx, clientID) }},
		{"scopes-add", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.AddScopes(ctx, clientID, "nav:aareg/v1/arbeidsforhold/otp")
			return err
		}},
		{"access", func(ctx context.Context, c *selfservice.Client) error { _, err := c.Access(ctx); return err }},
		{"scopes-open", func(ctx context.Context, c *selfservice.Client) error { _, err := c.OpenScopes(ctx); return err }},
		{"delegation-sources", func(ctx context.Context, c *selfservice.Client) error { _, err := c.DelegationSources(ctx); return err }},
		{"keys", func(ctx context.Context, c *selfservice.Client) error { _, err := c.Keys(ctx, clientID); return err }},
		{"key-register", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.RegisterKey(ctx, clientID, key)
			return err
		}},
		{"key-remove", func(ctx context.Context, c *selfservice.Client) error {
			_, err := c.RemoveKey(ctx, clientID, "old")
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			integration, keys := integrationJSON, `{"keys":[`+old+`],"created":"x","last_updated":"y"}`
			script, api := newScripted(t, func(r *http.Request, body string) (int, string) {
				switch {
				case r.URL.Path == "/api/v1/clients" && r.Method == http.MethodGet, strings.HasPrefix(r.URL.Path, "/api/v1/scopes/"):
					return 200, "[]"
				case r.URL.Path == "/api/v1/delegationsources":
					return 200, `[{"name":"Altinn","issuer":"https://tt02.altinn.no/"}]`
				case strings.HasSuffix(r.URL.Path, "/jwks") && r.Method == http.MethodPost:
					keys = body
					return 201, body
				case strings.HasSuffix(r.URL.Path, "/jwks") && r.Method == http.MethodDelete:
					keys = `{"keys":[]}`
					return 204, ""
				case strings.HasSuffix(r.URL.Path, "/jwks"):
					return 200, keys
				case r.Method == http.MethodPut:
					integration = body
					return 200, body
				case r.Method == http.MethodDelete:
					return 204, ""
				case r.Method == http.MethodPost:
					return 201, integrationJSON
				}
				return 200, integration
			})
			require.NoError(t, tt.do(t.Context(), api))
			golden(t, tt.name+".txt", strings.ReplaceAll(strings.Join(script.sent(), "\n"), modulus, "(n)"))
		})
	}
}

// Each documented way to fail, and what a program can ask of the error.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		is     error
		tries  int
	}{
		{"validation", 400, `{"status":400,"timestamp":"2026-01-02T03:04:05Z","correlation_id":"c0ffee","errors":[{"errorMessage":"scope finnes ikke","isFieldError":true,"objectName":"client","fieldIdentifier":"scopes"},{"errorMessage":"minst ett"}],"error":", error 1","error_description":", error 1"}`, nil, 1},
		{"not-found", 404, `{"status":404,"errors":[{"errorMessage":"Client not found"}]}`, selfservice.ErrNotFound, 1},
		{"conflict", 409, `{"status":409,"errors":[{"errorMessage":"exists"}]}`, selfservice.ErrConflict, 1},
		{"forbidden", 403, `{"error":"forbidden","error_description":"scope missing"}`, selfservice.ErrForbidden, 1},
		{"page", 502, "<html>\n<title>Bad Gateway</title>", selfservice.ErrUnavailable, 3},
		{"odd-types", 422, `{"errors":[{"errorMessage":7}],"correlation_id":null,"error_description":"ugyldig\nlinje"}`, nil, 1},
		{"redirect", 307, ``, nil, 1},
		{"problem", 403, "\ufeff" + `{"title":"Blocked","detail":"by a gateway","traceId":"00-abc"}`, selfservice.ErrForbidden, 1},
		{"spring", 404, `{"timestamp":"2026-01-02","status":404,"error":"Not Found","path":"/api/v1/clients"}`, selfservice.ErrNotFound, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // for the pauses between attempts
				script, api := newScripted(t, func(*http.Request, string) (int, string) { return tt.status, tt.body })
				_, err := api.Integration(t.Context(), clientID)
				require.Error(t, err)
				for _, sentinel := range []error{selfservice.ErrNotFound, selfservice.ErrConflict, selfservice.ErrForbidden, selfservice.ErrUnavailable} {
					assert.Equal(t, sentinel == tt.is, errors.Is(err, sentinel), "%v", sentinel)
				}
				var e *selfservice.Error
				require.ErrorAs(t, err, &e)
				assert.Equal(t, tt.status, e.StatusCode)
				assert.Len(t, script.sent(), tt.tries, "4xx are final")
				golden(t, filepath.Join("errors", tt.name+".txt"), err.Error()+"\n")
			})
		})
	}
}

// What may have been made must not be made twice.
func TestCreateIsSentOnce(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		answer       func(r *http.Request, body string) (int, string)
		is           error
	}{
		{"500", "it may have been made before the fault", func(*http.Request, string) (int, string) { return 500, "" }, selfservice.ErrUnclear},
		{"not JSON", "a success that cannot be read has no client id", func(*http.Request, string) (int, string) { return 201, "made" }, selfservice.ErrUnclear},
		{"no answer", "the connection may have broken after it arrived", func(*http.Request, string) (int, string) { panic(http.ErrAbortHandler) }, selfservice.ErrUnclear},
		{"401", "the transport may not repeat it either", func(*http.Request, string) (int, string) { return 401, "{}" }, selfservice.ErrForbidden},
		{"409", "a clear no", func(*http.Request, string) (int, string) { return 409, "{}" }, selfservice.ErrConflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := maskinportentest.NewServer()
			defer fake.Close()
			script := &scripted{answer: tt.answer}
			server := newServer(t, script)
			admin, err := maskinporten.New(fake.Config())
			require.NoError(t, err)
			api, err := selfservice.New(admin, selfservice.Options{BaseURL: server})
			require.NoError(t, err)
			_, err = api.Create(t.Context(), selfservice.Integration{Name: "Pensjon", Scopes: []string{"skatteetaten:inntekt"}})
			require.ErrorIs(t, err, tt.is, tt.reason)
			assert.Len(t, script.sent(), 1, tt.reason)
		})
	}
}

// Bad input is refused before anything is sent.
func TestBadInput(t *testing.T) {
	script, api := newScripted(t, func(*http.Request, string) (int, string) { return 200, "{}" })
	ok := selfservice.Integration{Name: "Pensjon", Scopes: []string{"skatteetaten:inntekt"}}
	with := func(change func(*selfservice.Integration)) error {
		i := ok
		change(&i)
		_, err := api.Create(t.Context(), i)
		return err
	}
	for name, err := range map[string]error{
		"no name":            with(func(i *selfservice.Integration) { i.Name = " " }),
		"no scope":           with(func(i *selfservice.Integration) { i.Scopes = nil }),
		"two scopes in one":  with(func(i *selfservice.Integration) { i.Scopes = []string{"a:b c:d"} }),
		"customer":           with(func(i *selfservice.Integration) { i.OrgNumber = "123456789" }),
		"client id":          with(func(i *selfservice.Integration) { i.ClientID = "mine" }),
		"path":               api.Deactivate(t.Context(), ".."),
		"path with a slash":  api.Deactivate(t.Context(), "a/b"),
		"no path":            api.Deactivate(t.Context(), ""),
		"own client":         api.Deactivate(t.Context(), maskinportentest.DefaultClientID),
		"rotation's publish": func() error { _, err := api.Rotate(t.Context(), selfservice.Rotation{ClientID: "a"}); return err }(),
	} {
		var field *maskinporten.FieldError
		assert.ErrorAs(t, err, &field, name)
	}
	assert.Empty(t, script.sent())
}

// A Client that was not made with New says so, and does not panic.
func TestZeroClient(t *testing.T) {
	for _, c := range []*selfservice.Client{nil, {}} {
		_, list := c.Integrations(t.Context(), false)
		_, update := c.Update(t.Context(), clientID, nil)
		_, remove := c.RemoveKey(t.Context(), clientID, "kid")
		_, rotate := c.Rotate(t.Context(), selfservice.KeyFile(clientID, "key.jwk"))
		for _, err := range []error{list, update, remove, rotate, c.Deactivate(t.Context(), clientID)} {
			var field *maskinporten.FieldError
			assert.ErrorAs(t, err, &field)
		}
		assert.NotPanics(t, func() { _ = fmt.Sprint(c) })
	}
}

func TestNew(t *testing.T) {
	fake := maskinportentest.New()
	admin, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	custom := fake.Config()
	custom.Environment = maskinporten.Environment{Issuer: "https://sky.example/", TokenURL: "https://sky.example/token", JWKSURL: "https://sky.example/jwk"}
	other, err := maskinporten.New(custom)
	require.NoError(t, err)
	for _, tt := range []struct {
		name, reason string
		client       *maskinporten.Client
		base         string
		ok           bool
	}{
		{"test", "the address is known", admin, "", true},
		{"own address", "of another installation", other, "https://api.example/api/v1/", true},
		{"no address", "nobody knows it", other, "", false},
		{"nil", "there would be no token", nil, "", false},
		{"http", "a token goes over https only", admin, "http://api.example", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := selfservice.New(tt.client, selfservice.Options{BaseURL: tt.base})
			var field *maskinporten.FieldError
			assert.Equal(t, tt.ok, err == nil, tt.reason)
			assert.Equal(t, !tt.ok, errors.As(err, &field), tt.reason)
		})
	}
}

// A key that is printed shows nothing private, and what is registered of it
// holds nothing private.
func TestPrivateKeysStayPrivate(t *testing.T) {
	key, err := selfservice.NewKey()
	require.NoError(t, err)
	var private map[string]string
	require.NoError(t, json.Unmarshal(key.JWK(), &private))
	printed := fmt.Sprintf("%v %+v %#v %s %q", key, *key, key, key, key) + string(key.PublicJWK())
	for _, member := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		require.NotEmpty(t, private[member])
		assert.NotContains(t, printed, private[member])
	}
	_, err = selfservice.ParseKey(key.JWK())
	assert.ErrorContains(t, err, "private key")
	public, err := selfservice.ParseKey(key.PublicJWK())
	require.NoError(t, err)
	assert.Equal(t, key.KeyID(), public.KeyID)
	cred, err := maskinporten.LoadJWK(key.JWK())
	require.NoError(t, err)
	assert.Equal(t, key.KeyID(), cred.KeyID())
}

// newServer starts h on a loopback address.
func newServer(t *testing.T, h http.Handler) (address string) {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestOddAnswers(t *testing.T) {
	_, api := newScripted(t, func(*http.Request, string) (int, string) { return 200, "\ufeff" + integrationJSON })
	_, err := api.Integration(t.Context(), clientID)
	require.NoError(t, err, "a byte order mark is no part of an answer")

	_, api = newScripted(t, func(*http.Request, string) (int, string) {
		return 200, "<html>\n<title>Request Rejected</title>"
	})
	_, err = api.Integration(t.Context(), clientID)
	require.ErrorContains(t, err, "Request Rejected", "a page says who answered")

	_, api = newScripted(t, func(*http.Request, string) (int, string) { return 200, `{"client_id":7,"client_secret":"hemmelig"}` })
	_, err = api.Integration(t.Context(), clientID)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hemmelig")
}

// A machine whose clock is ahead gets its tokens all the same, for the
// offset is found and made good: it must not take the keys of others for expired.
func TestKeysExpireByMaskinportensClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		fake.SetClock(-30 * time.Minute)
		soon := time.Now().Add(-10 * time.Minute).Unix() // in twenty minutes, by the fake's clock
		var written []string
		fake.Handle(apiHost, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				body, _ := io.ReadAll(r.Body)
				written = append(written, string(body))
			}
			fmt.Fprintf(w, `{"keys":[{"kid":"old","kty":"RSA","alg":"RS256","n":"%s","e":"AQAB","exp":%d}]}`, strings.Repeat("wxyz", 86), soon)
		}))
		admin, err := maskinporten.New(fake.Config())
		require.NoError(t, err)
		api, err := selfservice.New(admin, selfservice.Options{HTTPClient: fake.HTTPClient()})
		require.NoError(t, err)
		key, err := selfservice.NewKey()
		require.NoError(t, err)
		_, err = api.RegisterKey(t.Context(), clientID, key.Public())
		require.ErrorIs(t, err, selfservice.ErrChangedMeanwhile, "this API keeps nothing")
		require.Len(t, written, 1)
		require.Contains(t, written[0], `"old"`)
	})
}

func TestEmptyPrivateKey(t *testing.T) {
	for name, key := range map[string]*selfservice.PrivateKey{"nil": nil, "zero": {}} {
		_, err := key.Credential()
		var field *maskinporten.FieldError
		require.ErrorAs(t, err, &field, name)
		require.Zero(t, key.Public(), name)
	}
}
