package resourceserver

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
)

// testKey is the key that the environment publishes as k1.
var testKey = sync.OnceValue(newKey)

// otherKey is a key that the environment does not publish.
var otherKey = sync.OnceValue(newKey)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

type object = map[string]any

// keyServer is a JWKS endpoint in the place of the network.
type keyServer struct {
	mu       sync.Mutex
	keys     []object
	requests int
	down     bool
	slow     time.Duration
}

func publishing(keys ...object) *keyServer { return &keyServer{keys: keys} }

func (s *keyServer) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.requests++
	slow, down := s.slow, s.down
	body, err := json.Marshal(object{"keys": s.keys})
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(req.Context(), slow)
	<-ctx.Done()
	cancel()
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if down {
		return reply(http.StatusBadGateway, "out of order"), nil
	}
	return reply(http.StatusOK, string(body)), nil
}

func (s *keyServer) publish(keys ...object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

func (s *keyServer) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *keyServer) setSlow(slow time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = slow
}

func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *keyServer) verifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := NewVerifier(maskinporten.Test, &http.Client{Transport: s})
	require.NoError(t, err)
	return v
}

// jwkOf publishes key as Maskinporten does; changes replace or (nil) remove members.
func jwkOf(kid string, key *rsa.PublicKey, changes object) object {
	jwk := object{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(key.E)).Bytes()),
	}
	return changed(jwk, changes)
}

func changed(o, changes object) object {
	o = maps.Clone(o)
	maps.Copy(o, changes)
	maps.DeleteFunc(o, func(_ string, v any) bool { return v == nil })
	return o
}

// tokenClaims is an access token as Digdir's page shows it, issued now.
func tokenClaims(changes object) object {
	now := time.Now().Unix()
	return changed(object{
		"iss": maskinporten.Test.Issuer, "client_id": "client-1", "client_amr": "virksomhetssertifikat",
		"scope": "bank:saldo bank:konto", "token_type": "Bearer", "aud": "unspecified",
		"iat": now, "exp": now + 120, "jti": "id-1",
		"consumer": object{"authority": "iso6523-actorid-upis", "ID": "0192:910753614"},
	}, changes)
}

func segment(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// signedToken signs with key by the algorithm that the header names.
func signedToken(key *rsa.PrivateKey, header, claims object) string {
	signed := segment(header) + "." + segment(claims)
	alg, _ := header["alg"].(string)
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[2:]]
	digest := hash.New()
	io.WriteString(digest, signed)
	var (
		signature []byte
		err       error
	)
	if strings.HasPrefix(alg, "PS") {
		signature, err = rsa.SignPSS(rand.Reader, key, hash, digest.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	} else {
		signature, err = rsa.SignPKCS1v15(nil, key, hash, digest.Sum(nil))
	}
	if err != nil {
		panic(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func goodToken() string {
	return signedToken(testKey(), object{"alg": "RS256", "kid": "k1"}, tokenClaims(nil))
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func reply(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status), ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
	}
}
