package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// grant is what an endpoint reads of one.
type grant struct {
	ID       string `json:"jti"`
	Scope    string `json:"scope"`
	IssuedAt int64  `json:"iat"`
}

// endpoint is a token endpoint, over a network or in memory.
type endpoint struct {
	lives  time.Duration
	answer func(n int, w http.ResponseWriter, g grant) bool // nil, or reports whether it has answered the nth grant

	mu     sync.Mutex
	asked  int
	seen   map[string]bool
	twice  int
	tokens map[string]bool // issued and not revoked
}

func newEndpoint() *endpoint {
	return &endpoint{lives: 2 * time.Minute, seen: make(map[string]bool), tokens: make(map[string]bool)}
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var g grant
	if parts := strings.Split(r.FormValue("assertion"), "."); len(parts) == 3 {
		claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
		json.Unmarshal(claims, &g)
	}
	e.mu.Lock()
	e.asked++
	n := e.asked
	if e.seen[g.ID] {
		e.twice++
	}
	e.seen[g.ID] = true
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat)); e.answer != nil && e.answer(n, w, g) {
		return
	}
	access := fmt.Sprintf("token-%d-%s", n, rand.Text())
	e.mu.Lock()
	e.tokens[access] = true
	e.mu.Unlock()
	json.NewEncoder(w).Encode(map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(e.lives.Seconds()), "scope": g.Scope})
}

// RoundTrip is for clients in memory.
func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

func (e *endpoint) requests() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked
}

func (e *endpoint) repeated() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.twice
}

// revoke takes back every token.
func (e *endpoint) revoke() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.tokens)
}

func (e *endpoint) knows(r *http.Request) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
}

func refuse(w http.ResponseWriter, description string) {
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"error":"invalid_grant","error_description":%q}`, description)
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// noSigner costs nothing: no endpoint here looks at signatures.
type noSigner struct{}

func (noSigner) Public() crypto.PublicKey { return rsaKey().Public() }

func (noSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 256), nil
}

func credential(t *testing.T, signer crypto.Signer) *maskinporten.Credential {
	t.Helper()
	c, err := maskinporten.NewKeyCredential(signer, "key")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// config is for a client of an endpoint in memory.
func config(t *testing.T, e *endpoint) maskinporten.Config {
	return maskinporten.Config{
		Environment: maskinporten.Test,
		ClientID:    "faults",
		Credential:  credential(t, noSigner{}),
		HTTPClient:  &http.Client{Transport: e},
	}
}

func newClient(t *testing.T, c maskinporten.Config) *maskinporten.Client {
	t.Helper()
	client, err := maskinporten.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// request returns the nth of many.
func request(n int) maskinporten.Request {
	return maskinporten.Request{Scope: fmt.Sprintf("a:%d", n)}
}

// timed asks for a token.
func timed(ctx context.Context, c *maskinporten.Client, r maskinporten.Request) (time.Duration, error) {
	start := time.Now()
	_, err := c.Token(ctx, r)
	return time.Since(start), err
}

// sourceFunc is a credential source.
type sourceFunc func(context.Context) (*maskinporten.Credential, error)

func (f sourceFunc) Credential(ctx context.Context) (*maskinporten.Credential, error) { return f(ctx) }
