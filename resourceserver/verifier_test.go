package resourceserver

import (
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
)

func TestVerifyAccepts(t *testing.T) {
	for _, alg := range []string{"RS256", "RS384", "RS512"} {
		s := publishing(jwkOf("k1", &testKey().PublicKey, object{"alg": alg}))
		claims, err := s.verifier(t).Verify(t.Context(), signedToken(testKey(), object{"alg": alg, "kid": "k1", "typ": "JWT"}, tokenClaims(nil)))
		require.NoError(t, err, alg)
		require.Equal(t, "910753614", claims.Consumer)
	}
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
		{name: "a tampered signature", token: func() string {
			p := parts()
			return p[0] + "." + p[1] + "." + segment("tampered")[:8] + p[2][8:]
		}, reason: "signature is wrong"},
		{name: "expired", token: by(testKey(), header, object{"exp": time.Now().Unix() - 1}), reason: "expired at"},
		{name: "expires this second", token: by(testKey(), header, object{"exp": time.Now().Unix()}), reason: "expired at"},
		{name: "no exp", token: by(testKey(), header, object{"exp": nil}), reason: "no exp"},
		{name: "exp beyond all time", token: by(testKey(), header, object{"exp": 1e300}), reason: "exp is no time"},
		{name: "exp as text", token: by(testKey(), header, object{"exp": "2099"}), reason: "exp is no time"},
		{name: "no iat", token: by(testKey(), header, object{"iat": nil}), reason: "no iat"},
		{name: "issued in the future", token: by(testKey(), header, object{"iat": time.Now().Unix() + 15}), reason: "in the future"},
		{name: "not valid yet", token: by(testKey(), header, object{"nbf": time.Now().Unix() + 5}), reason: "nbf is in the future"},
		{name: "nbf as text", token: by(testKey(), header, object{"nbf": "now"}), reason: "nbf is no time"},
		{name: "a claim twice in two cases", token: by(testKey(), header, object{"SCOPE": "bank:all"}), reason: `states "SCOPE" for scope`},
		{name: "a claim in a case that only Unicode knows", token: by(testKey(), header, object{"ſcope": "bank:all"}), reason: "twice"},
		{name: "a restriction in another case", token: by(testKey(), header, object{"aud": nil, "AUD": "https://a.example"}), reason: `states "AUD" for aud`},
		{name: "crit in another case", token: by(testKey(), object{"alg": "RS256", "Crit": []string{"b64"}}, nil), reason: `states "Crit" for crit`},
		{name: "a systembruker's ids in two cases", token: by(testKey(), header, object{"authorization_details": []any{object{"type": "urn:altinn:systemuser", "systemuser_id": "a", "SystemUser_ID": "b"}}}), reason: "twice"},
		{name: "a systembruker's owner in two cases", token: by(testKey(), header, object{"authorization_details": []any{object{"type": "urn:altinn:systemuser", "systemuser_org": object{"ID": "a", "id": "b"}}}}), reason: "twice"},
		{name: "a right of a consent in two cases", token: by(testKey(), header, object{"authorization_details": []any{object{"type": "urn:altinn:consent", "consentRights": []any{object{"action": "a", "Action": "b"}}}}}), reason: "twice"},
		{name: "what limits a consent in two cases", token: by(testKey(), header, object{"authorization_details": []any{object{"type": "urn:altinn:consent", "consentRights": []any{object{"metadata": object{"aar": "1"}, "metaData": object{"aar": "2"}}}}}}), reason: "twice"},
		{name: "a header name in two cases", token: by(testKey(), object{"alg": "RS256", "KID": "k2"}, nil), reason: `states "KID" for kid`},
		{name: "consumer's ID in two cases", token: by(testKey(), header, object{"consumer": object{"authority": "a", "ID": "b", "id": "c"}}), reason: "twice"},
		{name: "wrong issuer", token: by(testKey(), header, object{"iss": maskinporten.Prod.Issuer}), reason: `issuer is "https://maskinporten.no/"`},
		{name: "issuer without its slash", token: by(testKey(), header, object{"iss": strings.TrimSuffix(maskinporten.Test.Issuer, "/")}), reason: "issuer is"},
		{name: "no issuer", token: by(testKey(), header, object{"iss": nil}), reason: "issuer is"},
		{name: "a consumer that is no object", token: by(testKey(), header, object{"consumer": "0192:910753614"}), reason: "consumer is not a JSON object"},
		{name: "a consumer whose ID is a number", token: by(testKey(), header, object{"consumer": object{"authority": "iso6523-actorid-upis", "ID": 910753614}}), reason: "ID is not a string"},
		{name: "a person that is a number", token: by(testKey(), header, object{"pid": int64(25922947409)}), reason: "pid is not a string"},
		{name: "a key for encryption", token: by(testKey(), header, nil), key: changed(public, object{"use": "enc"}), reason: "not one of"},
		{name: "a key for other operations", token: by(testKey(), header, nil), key: changed(public, object{"key_ops": []string{"encrypt", "wrapKey"}}), reason: "not one of"},
		{name: "a key for another algorithm", token: by(testKey(), header, nil), key: changed(public, object{"alg": "PS256"}), reason: "not one of"},
		{name: "a key of another kind", token: by(testKey(), header, nil), key: changed(public, object{"kty": "oct", "k": "c2VjcmV0"}), reason: "not one of"},
		{name: "a small key", token: by(testKey(), header, nil), key: changed(public, object{"n": base64.RawURLEncoding.EncodeToString(testKey().N.Bytes()[:128])}), reason: "not one of"},
		{name: "exponent 1", token: by(testKey(), header, nil), key: changed(public, object{"e": "AQ"}), reason: "not one of"},
		{name: "empty", token: func() string { return "" }, reason: "three parts"},
		{name: "two parts", token: func() string { return "a.b" }, reason: "three parts"},
		{name: "four parts", token: func() string { return goodToken() + ".x" }, reason: "three parts"},
		{name: "a line break inside", token: func() string { return goodToken()[:50] + "\n" + goodToken()[50:] }, reason: "line break"},
		{name: "padding", token: func() string { return goodToken() + "=" }, reason: "not base64url"},
		{name: "enormous", token: func() string { return goodToken() + strings.Repeat("A", 64<<10) }, reason: "longer than"},
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
			require.NotErrorIs(t, err, maskinporten.ErrUnavailable)
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
	for _, test := range []struct {
		field, issuer, keys, problem string
	}{
		{"Environment", "", "", "is missing"},
		{"Environment.Issuer", "", maskinporten.Test.JWKSURL, "is missing"},
		{"Environment.JWKSURL", maskinporten.Test.Issuer, "", "is missing"},
		{"Environment.JWKSURL", maskinporten.Test.Issuer, "http://example.no/jwk", "not https"},
		{"Environment.Issuer", "https://maskinporten.no", maskinporten.Prod.JWKSURL, "lacks the slash"},
		{"Environment.JWKSURL", maskinporten.Prod.Issuer, maskinporten.Test.JWKSURL, "give both of one"},
	} {
		_, err := NewVerifier(maskinporten.Environment{Issuer: test.issuer, JWKSURL: test.keys}, nil)
		var bad *maskinporten.FieldError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, test.field, bad.Field)
		require.Contains(t, bad.Problem, test.problem)
	}
	for _, empty := range []*Verifier{nil, {}} {
		_, err := empty.Verify(t.Context(), goodToken())
		var bad *maskinporten.FieldError
		require.ErrorAs(t, err, &bad, "an error, not a panic")
	}
	_, err := NewVerifier(maskinporten.Environment{Issuer: maskinporten.Test.Issuer, JWKSURL: maskinporten.Test.JWKSURL}, nil)
	require.NoError(t, err, "one who only verifies needs no token endpoint")
}
