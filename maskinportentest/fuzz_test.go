package maskinportentest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// Whatever is posted to the token endpoint is answered, and only what is signed
// gets a token: nothing here is.
func FuzzTokenEndpoint(f *testing.F) {
	g := newRawWith(maskinportentest.New().Environment(), defaultChain())
	g.claims["authorization_details"] = list{systemUserOf(otherOrg)}
	assertion := g.sign(f)
	for _, seed := range []string{
		form(assertion[:len(assertion)-4] + "AAAA").Encode(),
		form("a.b.c").Encode(),
		form("e30.e30.e30").Encode() + "&scope=x",
		"grant_type=client_credentials",
		"%zz",
	} {
		f.Add(seed)
	}
	fakes := []*fake{maskinportentest.New(), maskinportentest.New()}
	fakes[1].AsDeployed()
	f.Fuzz(func(t *testing.T, body string) {
		if strings.Contains(body, assertion) {
			return
		}
		for _, fake := range fakes {
			r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			fake.ServeHTTP(w, r)
			grant := fake.LastGrant()
			if w.Code != http.StatusBadRequest || grant.Accepted() || grant.TraceID == "" || grant.Answer != w.Body.String() {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			_ = grant.String()
			_ = grant.Request()
		}
	})
}

// The self-service API answers whatever is asked of it, and keeps its clients in
// order: an answer is JSON or empty, and never more than five keys are there.
func FuzzSelfService(f *testing.F) {
	const mine = "/clients/" + maskinportentest.DefaultClientID
	f.Add("POST", "/clients", `{"client_name":"a","description":"b","scopes":["a:b"],"integration_type":"maskinporten","application_type":"web","token_endpoint_auth_method":"private_key_jwt","grant_types":["urn:ietf:params:oauth:grant-type:jwt-bearer"]}`)
	f.Add("PUT", mine, `{"integration_type":"maskinporten","access_token_lifetime":1e3}`)
	f.Add("POST", mine+"/jwks", `{"keys":[{"kty":"RSA","kid":"a","use":"sig","alg":"RS256","e":"AQAB","n":"AQAB","exp":1}]}`)
	f.Add("DELETE", "/scopes/access/..?scope=a:b", "")
	f.Add("GET", "/scopes/access/all", "")
	f.Fuzz(func(t *testing.T, method, path, body string) {
		r, err := http.NewRequest(method, "https://api.test.samarbeid.digdir.no/api/v1"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		r.RequestURI = r.URL.RequestURI()
		fake := maskinportentest.New()
		r.Header.Set("Authorization", "Bearer "+fake.AccessToken(resourceserver.Claims{Scopes: []string{"idporten:dcr.read", "idporten:dcr.write", "idporten:scopes.write"}}))
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, r)
		if strings.HasPrefix(r.URL.Path, "/api/v1/") && w.Body.Len() > 0 && !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			t.Fatalf("%d %q", w.Code, w.Body)
		}
	})
}
