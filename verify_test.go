package maskinporten

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// otherKey is a key that the environment does not publish.
var otherKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

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
	sleep(req.Context(), slow)
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

func (s *keyServer) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

func (s *keyServer) verifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := NewVerifier(Test, &http.Client{Transport: s})
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
		"iss": Test.Issuer, "client_id": "client-1", "client_amr": "virksomhetssertifikat",
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
	hash := hashes["RS"+alg[2:]]
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

func TestVerifyAccepts(t *testing.T) {
	for _, alg := range []string{"RS256", "RS384", "RS512"} {
		s := publishing(jwkOf("k1", &testKey().PublicKey, object{"alg": alg}))
		claims, err := s.verifier(t).Verify(t.Context(), signedToken(testKey(), object{"alg": alg, "kid": "k1", "typ": "JWT"}, tokenClaims(nil)))
		require.NoError(t, err, alg)
		require.Equal(t, OrgNumber("910753614"), claims.Consumer)
	}
}

func TestClientVerifiesByItsEnvironment(t *testing.T) {
	s := publishing(jwkOf("k1", &testKey().PublicKey, nil))
	cfg := Config{Environment: Test, ClientID: "c", Credential: testCredential(), HTTPClient: &http.Client{Transport: s}}
	c, err := New(cfg)
	require.NoError(t, err)
	claims, err := c.Verify(t.Context(), goodToken())
	require.NoError(t, err)
	require.Equal(t, "client-1", claims.ClientID)

	cfg.Environment.JWKSURL = ""
	c, err = New(cfg)
	require.NoError(t, err)
	_, err = c.Verify(t.Context(), goodToken())
	var field *FieldError
	require.ErrorAs(t, err, &field)
	require.Equal(t, "Environment.JWKSURL", field.Field)
}

func TestVerifyRefuses(t *testing.T) {
	header := object{"alg": "RS256", "kid": "k1"}
	by := func(key *rsa.PrivateKey, header, claims object) func() string {
		return func() string { return signedToken(key, changed(object{"kid": "k1"}, header), tokenClaims(claims)) }
	}
	unsigned := func(header object, signature string) func() string {
		return func() string { return segment(header) + "." + segment(tokenClaims(nil)) + "." + signature }
	}
	public := jwkOf("k1", &testKey().PublicKey, nil)
	parts := func() []string { return strings.Split(goodToken(), ".") }

	for _, test := range []struct {
		name   string
		token  func() string
		key    object // k1, when it is another than Maskinporten's
		reason string
	}{
		{name: "another key", token: by(otherKey(), header, nil), reason: "signature is wrong"},
		{name: "a kid that is not published", token: by(testKey(), object{"alg": "RS256", "kid": "k2"}, nil), reason: "not one of the environment's"},
		{name: "no kid", token: by(testKey(), object{"alg": "RS256", "kid": nil}, nil), reason: "names no key"},
		{name: "alg none", token: unsigned(object{"alg": "none", "kid": "k1"}, ""), reason: `alg is "none"`},
		{name: "alg None, which some read as none", token: unsigned(object{"alg": "None", "kid": "k1"}, ""), reason: `alg is "None"`},
		{name: "no alg", token: unsigned(object{"kid": "k1"}, "AAAA"), reason: `alg is ""`},
		{name: "no signature", token: unsigned(header, ""), reason: "signature is wrong"},
		{name: "HS256 with the public key (PEM) as secret", token: func() string { return hmacToken(publicPEM()) }, reason: `alg is "HS256"`},
		{name: "HS256 with the public key (DER) as secret", token: func() string { return hmacToken(publicDER()) }, reason: `alg is "HS256"`},
		{name: "PS256", token: by(testKey(), object{"alg": "PS256"}, nil), reason: `alg is "PS256"`},
		{name: "RS512 by a key for RS256", token: by(testKey(), object{"alg": "RS512"}, nil), reason: "its key is for RS256"},
		{name: "a line break in alg stays out of logs", token: unsigned(object{"alg": "x\ny", "kid": "k1"}, ""), reason: `alg is "x y"`},
		{name: "a critical extension", token: by(testKey(), object{"alg": "RS256", "crit": []string{"b64"}, "b64": false}, nil), reason: "crit"},
		{name: "a tampered payload", token: func() string {
			p := parts()
			return p[0] + "." + segment(tokenClaims(object{"scope": "bank:all"})) + "." + p[2]
		}, reason: "signature is wrong"},
		{name: "a tampered header", token: func() string {
			p := parts()
			return segment(object{"alg": "RS256", "kid": "k1", "typ": "at+jwt"}) + "." + p[1] + "." + p[2]
		}, reason: "signature is wrong"},
		{name: "a tampered signature", token: func() string { return goodToken()[:300] + "A" + goodToken()[301:] }, reason: "wrong"},
		{name: "expired", token: by(testKey(), header, object{"exp": time.Now().Unix() - 1}), reason: "expired at"},
		{name: "expires this second", token: by(testKey(), header, object{"exp": time.Now().Unix()}), reason: "expired at"},
		{name: "no exp", token: by(testKey(), header, object{"exp": nil}), reason: "no exp"},
		{name: "exp beyond all time", token: by(testKey(), header, object{"exp": 1e300}), reason: "exp is no time"},
		{name: "exp as text", token: by(testKey(), header, object{"exp": "2099"}), reason: "not JSON with the claims"},
		{name: "no iat", token: by(testKey(), header, object{"iat": nil}), reason: "no iat"},
		{name: "issued in the future", token: by(testKey(), header, object{"iat": time.Now().Unix() + 15}), reason: "in the future"},
		{name: "wrong issuer", token: by(testKey(), header, object{"iss": Prod.Issuer}), reason: `issuer is "https://maskinporten.no/"`},
		{name: "issuer without its slash", token: by(testKey(), header, object{"iss": strings.TrimSuffix(Test.Issuer, "/")}), reason: "issuer is"},
		{name: "no issuer", token: by(testKey(), header, object{"iss": nil}), reason: "issuer is"},
		{name: "a consumer that is no organisation", token: by(testKey(), header, object{"consumer": object{"authority": "iso6523-actorid-upis", "ID": "0192:123456789"}}), reason: "consumer is"},
		{name: "a consumer of another register", token: by(testKey(), header, object{"consumer": object{"authority": "other", "ID": "0192:910753614"}}), reason: `of "other"`},
		{name: "a key for encryption", token: by(testKey(), header, nil), key: changed(public, object{"use": "enc"}), reason: "not one of"},
		{name: "a key for another algorithm", token: by(testKey(), header, nil), key: changed(public, object{"alg": "PS256"}), reason: "not one of"},
		{name: "a key of another kind", token: by(testKey(), header, nil), key: changed(public, object{"kty": "oct", "k": "c2VjcmV0"}), reason: "not one of"},
		{name: "a small key", token: by(testKey(), header, nil), key: changed(public, object{"n": base64.RawURLEncoding.EncodeToString(testKey().N.Bytes()[:128])}), reason: "not one of"},
		{name: "exponent 1", token: by(testKey(), header, nil), key: changed(public, object{"e": "AQ"}), reason: "not one of"},
		{name: "empty", token: func() string { return "" }, reason: "three parts"},
		{name: "two parts", token: func() string { return "a.b" }, reason: "three parts"},
		{name: "four parts", token: func() string { return goodToken() + ".x" }, reason: "three parts"},
		{name: "a line break inside", token: func() string { return goodToken()[:50] + "\n" + goodToken()[50:] }, reason: "three parts"},
		{name: "padding", token: func() string { return goodToken() + "=" }, reason: "not base64url"},
		{name: "enormous", token: func() string { return goodToken() + strings.Repeat("A", maxToken) }, reason: "three parts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			key := public
			if test.key != nil {
				key = test.key
			}
			s := publishing(key, jwkOf("spare", &otherKey().PublicKey, nil))
			token := test.token()
			claims, err := s.verifier(t).Verify(t.Context(), token)
			require.ErrorIs(t, err, ErrTokenInvalid)
			require.ErrorContains(t, err, test.reason)
			require.Nil(t, claims)
			require.Equal(t, strings.Contains(test.name, "expire"), errors.Is(err, ErrTokenExpired))
			require.NotErrorIs(t, err, ErrUnavailable)
			require.NotContains(t, err.Error(), "\n")
			for part := range strings.SplitSeq(token, ".") {
				if len(part) > 10 {
					require.NotContains(t, err.Error(), part[:10], "an error must not hold the token")
				}
			}
		})
	}
}

func publicDER() []byte {
	der, err := x509.MarshalPKIXPublicKey(&testKey().PublicKey)
	if err != nil {
		panic(err)
	}
	return der
}

func publicPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER()})
}

func hmacToken(secret []byte) string {
	signed := segment(object{"alg": "HS256", "kid": "k1"}) + "." + segment(tokenClaims(nil))
	mac := hmac.New(sha256.New, secret)
	io.WriteString(mac, signed)
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestClocksMayDifferTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := publishing(jwkOf("k1", &testKey().PublicKey, nil)).verifier(t)
		ahead := func(seconds int64) error {
			_, err := v.Verify(t.Context(), signedToken(testKey(), object{"alg": "RS256", "kid": "k1"}, tokenClaims(object{"iat": time.Now().Unix() + seconds})))
			return err
		}
		require.NoError(t, ahead(10))
		require.ErrorIs(t, ahead(11), ErrTokenInvalid)
	})
}

func TestNewVerifierRefuses(t *testing.T) {
	for field, env := range map[string]Environment{
		"Environment":         {},
		"Environment.Issuer":  {JWKSURL: Test.JWKSURL},
		"Environment.JWKSURL": {Issuer: Test.Issuer, JWKSURL: "http://example.no/jwk"},
	} {
		_, err := NewVerifier(env, nil)
		var bad *FieldError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
	_, err := NewVerifier(Environment{Issuer: Test.Issuer, JWKSURL: Test.JWKSURL}, nil)
	require.NoError(t, err, "one who only verifies needs no token endpoint")
}
