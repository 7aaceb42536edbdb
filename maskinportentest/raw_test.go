package maskinportentest_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

const (
	otherOrg = "313367002" // passes modulus 11
	thirdOrg = "974760673"
)

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

var otherKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// raw is a grant made by hand, so that it can be wrong in every way.
type raw struct {
	header, claims map[string]any
	key            *rsa.PrivateKey

	headerJSON, claimsJSON string              // instead of the maps
	compact                func(string) string // what becomes of the signed grant
	form                   func(url.Values)    // what becomes of the form
	request                func(*http.Request) // and of the request
}

func newRaw(env maskinporten.Environment) *raw {
	g := newRawWith(env, nil)
	g.certify(maskinportentest.Certificate{})
	return g
}

// newRawWith is a grant with a chain that was made before.
func newRawWith(env maskinporten.Environment, x5c []string) *raw {
	now := time.Now().Unix()
	g := &raw{
		header: map[string]any{"alg": "RS256", "typ": "JWT", "x5c": x5c},
		claims: map[string]any{
			"aud": env.Issuer, "iss": maskinportentest.DefaultClientID, "scope": "bank:saldo",
			"iat": now, "exp": now + 120, "jti": rand.Text(),
		},
		key: testKey(),
	}
	return g
}

// certify puts the chain of a certificate for the grant's key in the header.
func (g *raw) certify(c maskinportentest.Certificate) {
	c.Key = g.key
	x5c := []string{}
	for _, c := range c.Chain() {
		x5c = append(x5c, base64.StdEncoding.EncodeToString(c.Raw))
	}
	g.header["x5c"] = x5c
}

func (g *raw) x5c() []string { return g.header["x5c"].([]string) }

// useKey has the grant name a registered key.
func (g *raw) useKey(kid string) {
	delete(g.header, "x5c")
	g.header["kid"] = kid
}

func (g *raw) sign(t testing.TB) string {
	t.Helper()
	part := func(v any, text string) string {
		if text == "" {
			data, err := json.Marshal(v)
			require.NoError(t, err)
			text = string(data)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	signed := part(g.header, g.headerJSON) + "." + part(g.claims, g.claimsJSON)
	alg, _ := g.header["alg"].(string)
	hash, ok := map[string]crypto.Hash{"RS384": crypto.SHA384, "RS512": crypto.SHA512}[alg]
	if !ok {
		hash = crypto.SHA256
	}
	digest := hash.New()
	digest.Write([]byte(signed))
	var signature []byte
	var err error
	if alg == "PS256" {
		signature, err = rsa.SignPSS(rand.Reader, g.key, hash, digest.Sum(nil), nil)
	} else {
		signature, err = rsa.SignPKCS1v15(rand.Reader, g.key, hash, digest.Sum(nil))
	}
	require.NoError(t, err)
	compact := signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	if g.compact != nil {
		compact = g.compact(compact)
	}
	return compact
}

// said is an answer of the token endpoint.
type said struct {
	Status int
	Header http.Header

	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`

	Error       string `json:"error"`
	Description string `json:"error_description"`
	URI         string `json:"error_uri"`
}

func (s said) mp() string {
	_, code, _ := strings.Cut(s.URI, "/errors/")
	return code
}

func form(assertion string) url.Values {
	return url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
}

func post(t *testing.T, fake *maskinportentest.Fake, assertion string) said {
	t.Helper()
	return (&raw{}).postAssertion(t, fake, assertion)
}

// postAssertion sends an assertion, with what is wrong around it.
func (g *raw) postAssertion(t *testing.T, fake *maskinportentest.Fake, assertion string) said {
	t.Helper()
	values := form(assertion)
	if g.form != nil {
		g.form(values)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, fake.Environment().TokenURL, strings.NewReader(values.Encode()))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if g.request != nil {
		g.request(req)
	}
	return send(t, fake, req)
}

func send(t *testing.T, fake *maskinportentest.Fake, req *http.Request) said {
	t.Helper()
	resp, err := fake.HTTPClient().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	s := said{Status: resp.StatusCode, Header: resp.Header}
	require.NoError(t, json.Unmarshal(body, &s), "%s", body)
	return s
}

// claimsOf decodes a token without verifying it.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	require.Len(t, parts, 3)
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, json.Unmarshal(payload, &claims))
	return claims
}
