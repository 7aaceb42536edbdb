package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

const host = "maskinporten.example"

// server is a Maskinporten over TLS with HTTP/2: it keeps account of all that
// it was sent and has given.
type server struct {
	http *httptest.Server
	root *x509.Certificate

	mu         sync.Mutex
	failing    float64       // of requests for a token
	clock      time.Duration // ahead of ours
	clientKey  string        // kid that grants are taken from
	signing    int           // of keys, the one that tokens are signed with
	keys       []*rsa.PrivateKey
	assertions map[string]time.Time
	tokens     map[string]*issued
	asked      int
	repeated   int // assertions that came twice
}

// issued is a token that was given.
type issued struct {
	scope   string
	ends    time.Time
	revoked time.Time // zero: it is not
}

func newServer(keys []*rsa.PrivateKey) *server {
	s := &server{
		clientKey:  "client-0",
		keys:       keys,
		assertions: make(map[string]time.Time),
		tokens:     make(map[string]*issued),
	}
	cert, root := certificate()
	s.root = root
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /jwk", s.keySet)
	s.http = httptest.NewUnstartedServer(mux)
	s.http.Config.ErrorLog = log.New(discard{}, "", 0) // a line that breaks is meant to
	s.http.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	s.http.EnableHTTP2 = true
	s.http.StartTLS()
	return s
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func certificate() (tls.Certificate, *x509.Certificate) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(err)
	root, err := x509.ParseCertificate(der)
	must(err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, root
}

// token answers a grant: what it lives is in its scope.
func (s *server) token(w http.ResponseWriter, r *http.Request) {
	assertion := r.FormValue("assertion")
	var header struct {
		Kid string `json:"kid"`
	}
	var grant struct {
		ID       string `json:"jti"`
		Scope    string `json:"scope"`
		IssuedAt int64  `json:"iat"`
	}
	if parts := strings.Split(assertion, "."); len(parts) != 3 || !decode(parts[0], &header) || !decode(parts[1], &grant) {
		http.Error(w, "bad assertion", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().Add(s.clock)
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Type", "application/json")
	s.asked++
	if _, twice := s.assertions[grant.ID]; twice {
		s.repeated++
	}
	s.assertions[grant.ID] = now
	switch off := now.Sub(time.Unix(grant.IssuedAt, 0)); {
	case mathrand.Float64() < s.failing:
		w.WriteHeader(http.StatusServiceUnavailable)
	case off < -10*time.Second || off > 10*time.Second:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Issue time is after now, or too old"}`)
	case header.Kid != s.clientKey:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Unknown key identifier (kid) for client"}`)
	default:
		var lives int
		fmt.Sscanf(grant.Scope, "soak:%d.", &lives)
		access := s.sign(grant.Scope, lives)
		s.tokens[access] = &issued{scope: grant.Scope, ends: time.Now().Add(time.Duration(lives) * time.Second)}
		json.NewEncoder(w).Encode(map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": lives, "scope": grant.Scope})
	}
}

func decode(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}

func encode(v any) string {
	raw, err := json.Marshal(v)
	must(err)
	return base64.RawURLEncoding.EncodeToString(raw)
}

func (s *server) sign(scope string, lives int) string {
	now := time.Now()
	signed := encode(map[string]any{"alg": "RS256", "kid": kid(s.signing)}) + "." + encode(map[string]any{
		"iss": "https://" + host + "/", "client_id": "soak", "scope": scope, "token_type": "Bearer",
		"iat": now.Unix(), "exp": now.Unix() + int64(lives), "jti": rand.Text(),
		"consumer": map[string]string{"authority": "iso6523-actorid-upis", "ID": "0192:310000000"},
	})
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.keys[s.signing], crypto.SHA256, digest[:])
	must(err)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func kid(n int) string { return fmt.Sprint("signing-", n) }

// keySet publishes the key in use and the one before it.
func (s *server) keySet(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []map[string]string
	for n := max(0, s.signing-1); n <= s.signing; n++ {
		public := s.keys[n].PublicKey
		keys = append(keys, map[string]string{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid(n),
			"n": base64.RawURLEncoding.EncodeToString(public.N.Bytes()),
			"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()),
		})
	}
	json.NewEncoder(w).Encode(map[string]any{"keys": keys})
}

// look returns what is known of a token.
func (s *server) look(access string) (t issued, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.tokens[access]; known != nil {
		return *known, true
	}
	return issued{}, false
}

// revoke takes back a token.
func (s *server) revoke(access string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tokens[access]; t != nil && t.revoked.IsZero() {
		t.revoked = time.Now()
	}
}

// forget drops what is long over, so that the soak's own memory is bounded.
func (s *server) forget(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for access, t := range s.tokens {
		if t.ends.Before(before) {
			delete(s.tokens, access)
		}
	}
}

func (s *server) change(f func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
