package altinn_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

var update = flag.Bool("update", false, "write what the code says now into the golden files")

type object = map[string]any

const person = "25922947409" // synthetic

// unsignedToken is a token with these claims, of which nobody looks at the signature.
func unsignedToken(claims object) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." +
		base64.RawURLEncoding.EncodeToString(mustJSON(claims)) + ".c2ln"
}

func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// world is Maskinporten and Altinn in the place of the network. It
// numbers the tokens that it gives out, and its answer to a trade is set by
// the test.
type world struct {
	answer   func(n int, bearer string) *http.Response // nil: a token of 30 minutes
	lifetime int                                       // of Maskinporten's tokens
	jwt      bool                                      // whether Maskinporten's tokens are JWTs
	refuse   *http.Response                            // Maskinporten's answer, if it gives no tokens

	mu     sync.Mutex
	grants int
	trades []trade
}

type trade struct{ method, url, bearer, accept string }

func (w *world) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if req.URL.String() == maskinporten.Test.TokenURL {
		w.grants++
		if w.refuse != nil {
			return reply(w.refuse.StatusCode, `{"error":"invalid_grant","error_uri":"https://test.maskinporten.no/errors/MP-100"}`), nil
		}
		token := fmt.Sprintf("maskinporten-%d", w.grants)
		if w.jwt {
			token = unsignedToken(object{"iss": maskinporten.Test.Issuer, "jti": token})
		}
		return reply(200, fmt.Sprintf(`{"access_token":"%s","token_type":"Bearer","expires_in":%d}`, token, w.lifetime)), nil
	}
	t := trade{req.Method, req.URL.String(), req.Header.Get("Authorization"), req.Header.Get("Accept")}
	w.trades = append(w.trades, t)
	if w.answer != nil {
		return w.answer(len(w.trades), t.bearer), nil
	}
	return reply(200, altinnsToken(object{"traded": t.bearer, "at": t.url})), nil
}

// altinnsToken is made now and lives for 30 minutes.
func altinnsToken(changes object) string {
	now := time.Now().Unix()
	claims := object{"iss": "https://platform.altinn.no/", "iat": now, "nbf": now, "exp": now + 1800}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return unsignedToken(claims)
}

func mustJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

func (w *world) client(t *testing.T) *maskinporten.Client {
	t.Helper()
	if w.lifetime == 0 {
		w.lifetime = 120
	}
	c, err := maskinporten.New(maskinporten.Config{
		Environment: maskinporten.Test,
		ClientID:    "client-1",
		Credential:  maskinportentest.Certificate{}.Credential(),
		HTTPClient:  &http.Client{Transport: w},
	})
	require.NoError(t, err)
	return c
}

func (w *world) altinn(t *testing.T) *maskinporten.Client {
	t.Helper()
	return w.client(t).WithExchange(altinn.TT02)
}

func (w *world) counts() (grants, trades int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grants, len(w.trades)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

type switchingSource struct {
	mu   sync.Mutex
	cred *maskinporten.Credential
}

func (s *switchingSource) use(c *maskinporten.Credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cred = c
}

func (s *switchingSource) Credential(context.Context) (*maskinporten.Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cred, nil
}

// golden compares got with a file under testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", filepath.FromSlash(name))
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run go test -update once")
	require.Equal(t, string(want), got)
}
