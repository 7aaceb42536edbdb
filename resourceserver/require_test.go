package resourceserver

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequire(t *testing.T) {
	const realm = `Bearer realm="https://test.maskinporten.no/"`
	v := publishing(jwkOf("k1", &testKey().PublicKey, nil)).verifier(t)
	bearer := func(claims object) []string {
		return []string{"Bearer " + signedToken(testKey(), object{"alg": "RS256", "kid": "k1"}, tokenClaims(claims))}
	}
	for _, test := range []struct {
		name          string
		scope         string // bank:saldo when empty
		audience      []string
		authorization []string
		target        string
		status        int
		challenge     string // what WWW-Authenticate begins with
	}{
		{name: "a good token", authorization: bearer(nil), status: 200},
		{name: "the scheme in any case", authorization: []string{strings.Replace(bearer(nil)[0], "Bearer", "bEARER", 1)}, status: 200},
		{name: "both scopes", scope: "bank:konto bank:saldo", authorization: bearer(nil), status: 200},
		{name: "one of the audiences", audience: []string{"https://a.example", "https://b.example"}, authorization: bearer(object{"aud": []string{"https://c.example", "https://b.example"}}), status: 200},
		{name: "unrestricted, when that is asked for", audience: []string{"unspecified"}, authorization: bearer(nil), status: 200},

		{name: "several spaces after the scheme", authorization: []string{strings.Replace(bearer(nil)[0], " ", "   ", 1)}, status: 200},
		{name: "no audience is as unspecified", audience: []string{"unspecified"}, authorization: bearer(object{"aud": nil}), status: 200},

		{name: "no token", status: 401, challenge: realm},
		{name: "another scheme", authorization: []string{"Basic Zm9vOmJhcg=="}, status: 401, challenge: realm},
		{name: "no scheme", authorization: []string{bearer(nil)[0][len("Bearer "):]}, status: 401, challenge: realm},
		{name: "an empty header", authorization: []string{""}, status: 401, challenge: realm},
		{name: "a token in the query is none", target: "/?access_token=" + goodToken(), status: 401, challenge: realm},

		{name: "nothing after the scheme", authorization: []string{"Bearer"}, status: 400, challenge: realm + `, error="invalid_request"`},
		{name: "a space after the scheme", authorization: []string{"Bearer "}, status: 400, challenge: realm + `, error="invalid_request"`},
		{name: "two tokens", authorization: []string{"Bearer a b"}, status: 400, challenge: realm + `, error="invalid_request"`},
		{name: "two tokens with a comma", authorization: []string{"Bearer a, Bearer b"}, status: 400, challenge: realm + `, error="invalid_request"`},
		{name: "a comma alone", authorization: []string{"Bearer a,b"}, status: 400, challenge: realm + `, error="invalid_request"`},
		{name: "two headers", authorization: append(bearer(nil), bearer(nil)...), status: 400, challenge: realm + `, error="invalid_request"`},
		{name: "quotation marks", authorization: []string{`Bearer "a"`}, status: 400, challenge: realm + `, error="invalid_request"`},

		{name: "not a JWT", authorization: []string{"Bearer mF_9.B5f-4.1JqM~+/="}, status: 401, challenge: realm + `, error="invalid_token"`},
		{name: "another key", authorization: []string{"Bearer " + signedToken(otherKey(), object{"alg": "RS256", "kid": "k1"}, tokenClaims(nil))}, status: 401, challenge: realm + `, error="invalid_token"`},
		{name: "expired", authorization: bearer(object{"exp": 1000}), status: 401, challenge: realm + `, error="invalid_token", error_description="The token has expired"`},
		{name: "what the token says cannot break out of the quotes", authorization: bearer(object{"iss": "x\", error=\"\r\ny\\"}), status: 401, challenge: realm + `, error="invalid_token", error_description="The token is not valid: its issuer is 'x''`},
		{name: "another audience", audience: []string{"https://a.example"}, authorization: bearer(object{"aud": "https://b.example"}), status: 401, challenge: realm + `, error="invalid_token"`},
		{name: "restricted, when only unspecified is taken", audience: []string{"unspecified"}, authorization: bearer(object{"aud": "https://b.example"}), status: 401, challenge: realm + `, error="invalid_token"`},
		{name: "a letter outside ASCII in what the token says", authorization: bearer(object{"iss": "Å~\x7f"}), status: 401, challenge: realm + `, error="invalid_token", error_description="The token is not valid: its issuer is '~'`},
		{name: "unrestricted, when it must be restricted", audience: []string{"https://a.example"}, authorization: bearer(nil), status: 401, challenge: realm + `, error="invalid_token"`},

		{name: "no audience, when it must be restricted", audience: []string{"https://a.example"}, authorization: bearer(object{"aud": nil}), status: 401, challenge: realm + `, error="invalid_token"`},

		{name: "another scope", scope: "bank:all", authorization: bearer(nil), status: 403, challenge: realm + `, error="insufficient_scope"`},
		{name: "half a scope", scope: "bank:sald", authorization: bearer(nil), status: 403, challenge: realm + `, error="insufficient_scope"`},
		{name: "one scope of two", scope: "bank:saldo bank:all", authorization: bearer(nil), status: 403, challenge: realm + `, error="insufficient_scope"`},
		{name: "no scope in the token", authorization: bearer(object{"scope": nil}), status: 403, challenge: realm + `, error="insufficient_scope"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			scope, target := "bank:saldo", "/"
			if test.scope != "" {
				scope = test.scope
			}
			if test.target != "" {
				target = test.target
			}
			reached := false
			api := v.Require(scope, test.audience...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				reached = true
				require.Equal(t, "910753614", ClaimsFromContext(r.Context()).Consumer)
			}))
			req := httptest.NewRequest(http.MethodGet, target, nil)
			if test.authorization != nil {
				req.Header["Authorization"] = test.authorization
			}
			w := httptest.NewRecorder()
			api.ServeHTTP(w, req)
			require.Equal(t, test.status, w.Code)
			require.Equal(t, test.status == http.StatusOK, reached)
			challenges := w.Result().Header["Www-Authenticate"]
			if test.challenge == "" {
				require.Empty(t, challenges)
				return
			}
			require.Len(t, challenges, 1)
			if test.challenge == realm {
				require.Equal(t, realm, challenges[0], "no error code without a token (RFC 6750 §3.1)")
			}
			require.True(t, strings.HasPrefix(challenges[0], test.challenge), challenges[0])
			require.Regexp(t, `^Bearer realm="[^"\\]*"(, (error|error_description|scope)="[ !#-\[\]-~]*")*$`, challenges[0])
			if test.status == http.StatusForbidden {
				require.True(t, strings.HasSuffix(challenges[0], `scope="`+scope+`"`), challenges[0])
			}
		})
	}
}

func TestRequireWhileTheKeysAreOut(t *testing.T) {
	s := publishing()
	s.setDown(true)
	api := s.verifier(t).Require("bank:saldo")(http.NotFoundHandler())
	req := httptest.NewRequest(http.MethodGet, "/", nil)
	req.Header.Set("Authorization", "Bearer "+goodToken())
	w := httptest.NewRecorder()
	api.ServeHTTP(w, req)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Empty(t, w.Header().Get("WWW-Authenticate"))
	require.NotEmpty(t, w.Header().Get("Retry-After"))
	body, err := io.ReadAll(w.Body)
	require.NoError(t, err)
	require.NotContains(t, string(body), "jwk", "what is inside is not the caller's business")
}

func TestRequireWithoutScopePanics(t *testing.T) {
	v := publishing().verifier(t)
	for _, scope := range []string{"", " ", "a\"b", "a\nb"} {
		require.Panics(t, func() { v.Require(scope) }, scope)
	}
	require.Panics(t, func() { new(Verifier).Require("bank:saldo") })
}

func TestClaimsFromContextWithoutToken(t *testing.T) {
	require.Nil(t, ClaimsFromContext(context.Background()))
}
