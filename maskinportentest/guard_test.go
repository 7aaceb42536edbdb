package maskinportentest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// Guard is an API, as a client's Transport sees it.
func ExampleFake_Guard() {
	fake := maskinportentest.New()
	api := httptest.NewServer(fake.Guard("bank:saldo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		claims := maskinportentest.ClaimsFromContext(r.Context())
		fmt.Fprintf(w, "%s by %s", claims.Consumer, claims.Supplier)
	})))
	defer api.Close()
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}

	host := strings.TrimPrefix(api.URL, "http://")
	transport, err := client.Transport(maskinporten.Request{Scope: "bank:saldo", ConsumerOrg: "313367002"}, nil, host)
	if err != nil {
		panic(err)
	}
	resp, err := (&http.Client{Transport: transport}).Get(api.URL)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output: 313367002 by 910753614
}

func TestGuard(t *testing.T) {
	fake, other := maskinportentest.New(), maskinportentest.New()
	good := fake.AccessToken(resourceserver.Claims{Scopes: []string{"bank:saldo", "bank:lan"}})
	parts := strings.Split(good, ".")
	for _, tt := range []struct {
		name, reason string
		headers      []string
		status       int
		challenge    string
	}{
		{"valid", "has the scope among others", []string{"Bearer " + good}, 200, ""},
		{"lower case", "a scheme's case does not count", []string{"bearer " + good}, 200, ""},
		{"missing", "no token, no error code", nil, 401, `Bearer realm="api"`},
		{"basic", "another scheme", []string{"Basic eDp5"}, 401, `Bearer realm="api"`},
		{"two", "which one counts?", []string{"Bearer " + good, "Bearer " + good}, 400, `error="invalid_request"`},
		{"garbage", "no JWT", []string{"Bearer x"}, 401, `error="invalid_token"`},
		{"forged", "by another Maskinporten", []string{"Bearer " + other.AccessToken(resourceserver.Claims{Scopes: []string{"bank:saldo"}})}, 401, `error="invalid_token"`},
		{"cut", "without its signature", []string{"Bearer " + parts[0] + "." + parts[1] + "."}, 401, `error="invalid_token"`},
		{"another issuer", "signed with the right key", []string{"Bearer " + fake.AccessToken(resourceserver.Claims{Issuer: "https://maskinporten.no/", Scopes: []string{"bank:saldo"}})}, 401, `error="invalid_token"`},
		{"expired", "exp has passed", []string{"Bearer " + fake.AccessToken(resourceserver.Claims{Expiry: time.Now().Add(-time.Second), Scopes: []string{"bank:saldo"}})}, 401, `error="invalid_token"`},
		{"without exp", "for ever is not an option", []string{"Bearer " + fake.Sign(map[string]any{"iss": fake.Environment().Issuer, "scope": "bank:saldo"})}, 401, `error="invalid_token"`},
		{"lacks the scope", "has one that it is a part of", []string{"Bearer " + fake.AccessToken(resourceserver.Claims{Scopes: []string{"bank:saldo.les"}})}, 403, `error="insufficient_scope", error_description="the token lacks the scope", scope="bank:saldo"`},
	} {
		t.Run(tt.name+"/"+tt.reason, func(t *testing.T) {
			called := false
			api := fake.Guard("bank:saldo", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				called = true
				require.EqualValues(t, maskinportentest.DefaultOrgNumber, maskinportentest.ClaimsFromContext(r.Context()).Consumer)
			}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Authorization"] = tt.headers
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code, w.Body)
			require.Contains(t, w.Header().Get("WWW-Authenticate"), tt.challenge)
			require.Equal(t, tt.status == 200, called)
			require.NotContains(t, w.Body.String(), parts[2])
		})
	}
}

func newVerifier(t *testing.T, fake *maskinportentest.Fake) *resourceserver.Verifier {
	t.Helper()
	verifier, err := resourceserver.NewVerifier(fake.Environment(), fake.HTTPClient())
	require.NoError(t, err)
	return verifier
}

// The fake's reading of a token and the library's agree.
func TestVerifyAgrees(t *testing.T) {
	fake := maskinportentest.New()
	verifier := newVerifier(t, fake)
	for _, c := range []resourceserver.Claims{
		{Scopes: []string{"a:b", "c:d"}},
		{Scopes: []string{"a:b"}, Supplier: otherOrg, Consumer: thirdOrg, Audience: []string{"https://a.example", "https://b.example"}, PID: "25922947409", ClientAMR: "private_key_jwt", ClientID: "x", ID: "y"},
		{Scopes: []string{"a:b"}, SystemUsers: []resourceserver.SystemUserClaim{{IDs: []string{"1", "2"}, SystemID: "s", Owner: otherOrg}}},
	} {
		token := fake.AccessToken(c)
		theirs, err := verifier.Verify(t.Context(), token)
		require.NoError(t, err)
		ours, denied := fake.Check(bearer(token), "a:b")
		require.Nil(t, denied)
		require.Equal(t, *theirs, ours)
	}
}

// An Altinn token is got for Maskinporten's, and taken by APIs that want it.
func ExampleAltinn() {
	fake := maskinportentest.New()
	fake.Handle("platform.example", fake.Altinn().Guard("altinn:x", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, maskinportentest.ClaimsFromContext(r.Context()).Consumer)
	})))
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}

	exchanged := client.WithExchange(altinn.Exchange{Platform: fake.Altinn().URL()})
	transport, err := exchanged.Transport(maskinporten.Request{Scope: "altinn:x"}, fake.Transport(), "platform.example")
	if err != nil {
		panic(err)
	}
	resp, err := (&http.Client{Transport: transport}).Get("https://platform.example/")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body), len(fake.Altinn().Exchanges()))
	// Output: 910753614 1
}

func TestAltinn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		altinn := fake.Altinn()
		exchange := func(token, query string) (*http.Response, string) {
			req, err := http.NewRequest(http.MethodGet, altinn.URL()+"/authentication/api/v1/exchange/maskinporten"+query, nil)
			require.NoError(t, err)
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := fake.HTTPClient().Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			return resp, string(body)
		}
		maskinportenToken := fake.AccessToken(resourceserver.Claims{Scopes: []string{"altinn:x"}, Supplier: otherOrg})
		time.Sleep(time.Second)

		_, plain := exchange(maskinportenToken, "")
		claims := claimsOf(t, plain)
		require.EqualValues(t, time.Now().Unix(), claims["nbf"])
		require.EqualValues(t, time.Now().Add(30*time.Minute).Unix(), claims["exp"])
		altinn.SetLifetime(time.Hour)
		altinn.SetJSON(true)
		_, quoted := exchange(maskinportenToken, "?test=true")
		require.True(t, strings.HasPrefix(quoted, `"ey`))

		seen := altinn.Exchanges()
		require.Len(t, seen, 2)
		require.False(t, seen[0].Test)
		require.True(t, seen[1].Test)
		require.EqualValues(t, otherOrg, seen[1].Claims.Supplier)

		refused := func(token string) {
			t.Helper()
			resp, body := exchange(token, "")
			require.Equal(t, 401, resp.StatusCode)
			require.Contains(t, resp.Header.Get("WWW-Authenticate"), "invalid_token")
			require.Empty(t, body)
		}
		refused("x")
		refused(plain)
		altinn.FailNext(1, maskinportentest.Fault{Status: 502})
		resp, _ := exchange(maskinportenToken, "")
		require.Equal(t, 502, resp.StatusCode)

		api := altinn.Guard("altinn:x", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
		call := func(token string) int {
			w := httptest.NewRecorder()
			api.ServeHTTP(w, bearer(token))
			return w.Code
		}
		require.Equal(t, 200, call(plain))
		require.Equal(t, 401, call(maskinportenToken), "Maskinporten's own is not Altinn's")
		_, denied := fake.Check(bearer(plain), "")
		require.Equal(t, 401, denied.Status, "and the other way around")
		time.Sleep(30 * time.Minute)
		require.Equal(t, 401, call(plain), "expired")
		refused(maskinportenToken)
	})
}
