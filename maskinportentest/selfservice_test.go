package maskinportentest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// portal calls the self-service API as one organisation.
type portal struct {
	t    *testing.T
	fake *maskinportentest.Fake
	resourceserver.Claims
}

func newPortal(t *testing.T, fake *maskinportentest.Fake, scopes ...string) *portal {
	if scopes == nil {
		scopes = []string{"idporten:dcr.read", "idporten:dcr.write", "idporten:scopes.write"}
	}
	return &portal{t, fake, resourceserver.Claims{Scopes: scopes}}
}

// call returns the status and the answer, which it decodes.
func (p *portal) call(method, path string, body any) (int, any) {
	p.t.Helper()
	var raw []byte
	if body != nil {
		var err error
		raw, err = json.Marshal(body)
		require.NoError(p.t, err)
	}
	req, err := http.NewRequest(method, p.fake.SelfService().URL()+path, bytes.NewReader(raw))
	require.NoError(p.t, err)
	if p.Scopes[0] != "" {
		req.Header.Set("Authorization", "Bearer "+p.fake.AccessToken(p.Claims))
	}
	resp, err := p.fake.HTTPClient().Do(req)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(p.t, err)
	if len(answer) == 0 {
		return resp.StatusCode, nil
	}
	var v any
	require.NoError(p.t, json.Unmarshal(answer, &v), "%s", answer)
	return resp.StatusCode, v
}

func (p *portal) ok(status int, method, path string, body any) dict {
	p.t.Helper()
	got, v := p.call(method, path, body)
	require.Equal(p.t, status, got, "%v", v)
	o, _ := v.(dict)
	return o
}

func newIntegration() dict {
	return dict{
		"client_name": "Pensjon", "description": "Til testing", "scopes": list{"skatteetaten:inntekt"},
		"token_endpoint_auth_method": "private_key_jwt", "grant_types": list{"urn:ietf:params:oauth:grant-type:jwt-bearer"},
		"integration_type": "maskinporten", "application_type": "web",
	}
}

func jwkOf(key *rsa.PublicKey, kid string) dict {
	return dict{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "e": "AQAB",
		"n": base64.RawURLEncoding.EncodeToString(key.N.Bytes()),
	}
}

// The whole story of an integration: created, given a key, used, changed,
// deactivated. Each step arrives two minutes later.
func TestSelfServiceStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		fake.SelfService().SetArrival(2 * time.Minute)
		p := newPortal(t, fake)
		created := p.ok(201, "POST", "/clients", newIntegration())
		id := created["client_id"].(string)
		require.Regexp(t, `^[0-9a-f-]{36}$`, id)
		require.Equal(t, maskinportentest.DefaultOrgNumber, created["client_orgno"])
		require.Equal(t, true, created["active"])
		require.Contains(t, created, "created")
		require.Contains(t, created, "last_updated")

		grant := func(kid string) said {
			g := newRaw(fake.Environment())
			g.claims["iss"], g.claims["scope"] = id, "skatteetaten:inntekt"
			if kid != "" {
				g.useKey(kid)
			}
			return post(t, fake, g.sign(t))
		}
		require.Equal(t, "MP-100", grant("").mp(), "it has not arrived yet")
		time.Sleep(2 * time.Minute)
		require.Equal(t, http.StatusOK, grant("").Status)

		set := p.ok(201, "POST", "/clients/"+id+"/jwks", dict{"keys": list{jwkOf(&testKey().PublicKey, "k1")}})
		require.EqualValues(t, time.Now().AddDate(1, 0, 0).Unix(), set["keys"].(list)[0].(dict)["exp"])
		require.Equal(t, set, p.ok(200, "GET", "/clients/"+id+"/jwks", nil))
		require.Contains(t, grant("k1").Description, "Unknown key identifier (kid) for client")
		require.Equal(t, http.StatusOK, grant("").Status, "the certificate still works")
		time.Sleep(2 * time.Minute)
		require.Equal(t, http.StatusOK, grant("k1").Status)
		require.Contains(t, grant("").Description, "requires pre-registered jwk")

		changed := newIntegration()
		changed["scopes"], changed["logo_uri"] = list{"skatteetaten:inntektsmottakere"}, "https://example.no/logo"
		require.Equal(t, "https://example.no/logo", p.ok(200, "PUT", "/clients/"+id, changed)["logo_uri"], "fields not known are kept")
		require.Equal(t, http.StatusOK, grant("k1").Status)
		time.Sleep(2 * time.Minute)
		require.Equal(t, "MP-200", grant("k1").mp())

		p.ok(204, "DELETE", "/clients/"+id, nil)
		_, all := p.call("GET", "/clients", nil)
		require.Len(t, all, 1, "the default client")
		_, all = p.call("GET", "/clients?inactive=true", nil)
		require.Len(t, all, 2)
		time.Sleep(2 * time.Minute)
		require.Equal(t, "MP-100", grant("k1").mp())

		changed["active"] = true
		p.ok(200, "PUT", "/clients/"+id, changed)
		time.Sleep(2 * time.Minute)
		require.Equal(t, "MP-200", grant("k1").mp(), "known again")
		require.NotEmpty(t, fake.SelfService().Requests())
	})
}

// A key that has reached its end is refused, and stays in the set.
func TestSelfServiceKeyExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		p := newPortal(t, fake)
		end := time.Now().Add(time.Hour)
		key := with(jwkOf(&testKey().PublicKey, "k1"), "exp", end.Unix())
		path := "/clients/" + maskinportentest.DefaultClientID + "/jwks"
		p.ok(201, "PUT", path, dict{"keys": list{key}})
		g := newRaw(fake.Environment())
		g.useKey("k1")
		require.Equal(t, http.StatusOK, post(t, fake, g.sign(t)).Status)

		later := with(jwkOf(&testKey().PublicKey, "k1"), "exp", end.Add(24*time.Hour).Unix())
		set := p.ok(201, "POST", path, dict{"keys": list{later}})
		require.EqualValues(t, end.Unix(), set["keys"].(list)[0].(dict)["exp"], "posting it again is not promised to renew it")

		time.Sleep(time.Hour)
		g = newRaw(fake.Environment())
		g.useKey("k1")
		require.Equal(t, "MP-121", post(t, fake, g.sign(t)).mp())
		require.Len(t, p.ok(200, "GET", path, nil)["keys"], 1)
		p.ok(204, "DELETE", path, nil)
		require.Empty(t, p.ok(200, "GET", path, nil)["keys"])
	})
}

func TestSelfServiceRefuses(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	const mine = "/clients/" + maskinportentest.DefaultClientID
	keys := func(n int) list {
		var all list
		for i := range n {
			all = append(all, jwkOf(&testKey().PublicKey, fmt.Sprint("k", i)))
		}
		return all
	}
	oneKey := func(name string, v any) dict {
		return dict{"keys": list{with(jwkOf(&testKey().PublicKey, "k1"), name, v)}}
	}
	noUse := jwkOf(&testKey().PublicKey, "k1")
	delete(noUse, "use")
	integration := func(name string, v any) dict {
		o := newIntegration()
		if v == nil {
			delete(o, name)
			return o
		}
		return with(o, name, v)
	}
	read := []string{"idporten:dcr.read"}
	for _, tt := range []struct {
		name, reason string
		scopes       []string
		method, path string
		body         any
		status       int
		field, says  string
	}{
		{"no token", "it is not open", []string{""}, "GET", "/clients", nil, 401, "", "token"},
		{"another scope", "each call has its own", []string{"bank:saldo"}, "GET", "/clients", nil, 403, "", "idporten:dcr.read"},
		{"read only", "creating takes dcr.write", read, "POST", "/clients", newIntegration(), 403, "", "idporten:dcr.write"},
		{"modify only", "creating takes dcr.write", []string{"idporten:dcr.modify"}, "POST", "/clients", newIntegration(), 403, "", "idporten:dcr.write"},
		{"read only, keys", "changing keys takes dcr.modify", read, "POST", mine + "/jwks", dict{"keys": keys(1)}, 403, "", "idporten:dcr.modify"},
		{"unknown client", "not of this organisation", nil, "GET", "/clients/nobody", nil, 404, "", "nobody"},
		{"slash at the end", "no longer taken", nil, "GET", "/clients/", nil, 404, "", "resource"},
		{"another method", "PATCH is not there", nil, "PATCH", mine, nil, 405, "", "method"},
		{"no JSON object", "an array", nil, "POST", "/clients", list{}, 400, "", "object"},
		{"no name", "required", nil, "POST", "/clients", integration("client_name", nil), 400, "client_name", "empty"},
		{"no description", "required", nil, "POST", "/clients", integration("description", ""), 400, "description", "empty"},
		{"no application type", "part of the least body that works", nil, "POST", "/clients", integration("application_type", nil), 400, "application_type", "empty"},
		{"no scopes", "one at least", nil, "POST", "/clients", integration("scopes", list{}), 400, "scopes", "one scope"},
		{"bad scope", "prefix and name", nil, "POST", "/clients", integration("scopes", list{"inntekt"}), 400, "scopes", "inntekt"},
		{"lifetime of 0", "leave it out", nil, "POST", "/clients", integration("access_token_lifetime", 0), 400, "access_token_lifetime", "7200"},
		{"another's owner", "takes dcr.supplier", nil, "POST", "/clients", integration("client_orgno", otherOrg), 403, "", "idporten:dcr.supplier"},
		{"other type", "cannot change", nil, "PUT", mine, integration("integration_type", "idporten"), 400, "integration_type", "maskinporten"},
		{"created", "is the API's own", nil, "PUT", mine, integration("created", "2026-01-01T00:00:00Z"), 400, "created", "leave it out"},
		{"no keys", "an empty set cannot be posted", nil, "POST", mine + "/jwks", dict{"keys": list{}}, 400, "keys", "one key"},
		{"six keys", "five at most", nil, "POST", mine + "/jwks", dict{"keys": keys(6)}, 400, "keys", "5 keys"},
		{"no use", "demanded since 2025", nil, "POST", mine + "/jwks", dict{"keys": list{noUse}}, 400, "keys[0].use", "sig"},
		{"encryption key", "use must be sig", nil, "POST", mine + "/jwks", oneKey("use", "enc"), 400, "keys[0].use", "sig"},
		{"PSS", "three algorithms", nil, "POST", mine + "/jwks", oneKey("alg", "PS256"), 400, "keys[0].alg", "RS256"},
		{"EC", "RSA only", nil, "POST", mine + "/jwks", oneKey("kty", "EC"), 400, "keys[0].n", "RSA"},
		{"private key", "never to be sent", nil, "POST", mine + "/jwks", oneKey("d", "AQAB"), 400, "keys[0].d", "private"},
		{"x5c", "not a certificate", nil, "POST", mine + "/jwks", oneKey("x5c", list{"x"}), 400, "keys[0].x5c", "not taken"},
		{"kid with a slash", "letters, digits, . _ and -", nil, "POST", mine + "/jwks", oneKey("kid", "a/b"), 400, "keys[0].kid", "letters"},
		{"1024 bits", "2048 to 4096", nil, "POST", mine + "/jwks", dict{"keys": list{jwkOf(&small.PublicKey, "k1")}}, 400, "keys[0].n", "1024"},
		{"kid twice", "unique within the client", nil, "POST", mine + "/jwks", dict{"keys": list{keys(1)[0], keys(1)[0]}}, 400, "keys[1].kid", "another"},
		{"dots for an organisation", "lead to another resource", nil, "DELETE", "/scopes/access/..?scope=a:b", nil, 404, "", "No scope"},
		{"no organisation", "modulus 11", nil, "PUT", "/scopes/access/123456789?scope=a:b", nil, 400, "", "organisation number"},
	} {
		t.Run(tt.name+"/"+tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			status, answer := newPortal(t, fake, tt.scopes...).call(tt.method, tt.path, tt.body)
			require.Equal(t, tt.status, status, "%v", answer)
			o := answer.(dict)
			require.EqualValues(t, tt.status, o["status"])
			require.NotEmpty(t, o["timestamp"])
			require.NotEmpty(t, o["correlation_id"])
			require.Equal(t, ", error 1", o["error"])
			first := o["errors"].(list)[0].(dict)
			require.Equal(t, tt.field, first["fieldIdentifier"])
			require.Equal(t, tt.field != "", first["isFieldError"])
			require.Contains(t, first["errorMessage"], tt.says)
			requests := fake.SelfService().Requests()
			require.Equal(t, tt.status, requests[len(requests)-1].Status)
		})
	}
}

func TestSelfServiceConflict(t *testing.T) {
	fake := maskinportentest.New()
	p := newPortal(t, fake)
	id := p.ok(201, "POST", "/clients", newIntegration())["client_id"].(string)
	p.ok(204, "DELETE", "/clients/"+id, nil)
	p.ok(409, "POST", "/clients", with(newIntegration(), "client_id", id))
	p.ok(409, "POST", "/clients/"+id+"/jwks", dict{"keys": list{jwkOf(&testKey().PublicKey, "k1")}})

	p.ok(201, "POST", "/scopes", dict{"prefix": "bank", "subscope": "saldo"})
	p.ok(204, "DELETE", "/scopes?scope=bank:saldo", nil)
	p.ok(409, "POST", "/scopes", dict{"prefix": "bank", "subscope": "saldo"})
}

// A supplier's integration is its customer's, and both see it.
func TestSelfServiceSupplier(t *testing.T) {
	fake := maskinportentest.New()
	p := newPortal(t, fake, "idporten:dcr.read", "idporten:dcr.write", "idporten:dcr.supplier")
	id := p.ok(201, "POST", "/clients", with(newIntegration(), "client_orgno", otherOrg))["client_id"].(string)
	require.Equal(t, otherOrg, p.ok(200, "GET", "/clients/"+id, nil)["client_orgno"])
	customer := newPortal(t, fake, "idporten:dcr.read")
	customer.Consumer = otherOrg
	require.Equal(t, maskinportentest.DefaultOrgNumber, customer.ok(200, "GET", "/clients/"+id, nil)["supplier_orgno"])
	customer.Consumer = thirdOrg
	customer.ok(404, "GET", "/clients/"+id, nil)
}

func TestSelfServiceScopes(t *testing.T) {
	fake := maskinportentest.New()
	p := newPortal(t, fake)
	fake.AddScope(maskinportentest.Scope{Name: "open:data", Open: true, OrgNumber: otherOrg})
	open := newPortal(t, fake, "")
	status, all := open.call("GET", "/scopes/all?accessible_for_all=true", nil)
	require.Equal(t, 200, status)
	require.Len(t, all, 1)
	require.Equal(t, "open:data", all.(list)[0].(dict)["name"])
	_, sources := open.call("GET", "/delegationsources", nil)
	require.Equal(t, list{dict{"name": "Altinn", "issuer": "https://tt02.altinn.no/"}}, sources)

	// An owner's scope: nobody has it until it is granted.
	p.ok(201, "POST", "/scopes", dict{"prefix": "bank", "subscope": "saldo", "description": "Saldo", "at_max_age": 60})
	g := newRaw(fake.Environment())
	require.Equal(t, "MP-250", post(t, fake, g.sign(t)).mp())
	p.ok(200, "PUT", "/scopes/access/"+maskinportentest.DefaultOrgNumber+"?scope=bank:saldo", nil)
	g.claims["jti"] = "2"
	s := post(t, fake, g.sign(t))
	require.Equal(t, 60, s.ExpiresIn, "the scope bounds it")

	fake.SetAccess("skatteetaten:inntekt", maskinportentest.AccessRequested, maskinportentest.DefaultOrgNumber)
	_, access := p.call("GET", "/scopes/access/all", nil)
	require.Len(t, access, 2)
	states := map[any]any{}
	for _, a := range access.(list) {
		require.Equal(t, maskinportentest.DefaultOrgNumber, a.(dict)["consumer_orgno"])
		require.NotEmpty(t, a.(dict)["owner_orgno"])
		require.NotEmpty(t, a.(dict)["owner_organization_name"])
		states[a.(dict)["scope"]] = a.(dict)["state"]
	}
	require.Equal(t, map[any]any{"bank:saldo": "APPROVED", "skatteetaten:inntekt": "REQUESTED"}, states)

	p.ok(200, "DELETE", "/scopes/access/"+maskinportentest.DefaultOrgNumber+"?scope=bank:saldo", nil)
	g.claims["jti"] = "3"
	require.Equal(t, "MP-250", post(t, fake, g.sign(t)).mp())
}

func TestSelfServiceFaults(t *testing.T) {
	fake := maskinportentest.New()
	p := newPortal(t, fake)
	fake.SelfService().FailNext(1, maskinportentest.Fault{Status: 403, Description: "Ingen tilgang"})
	o := p.ok(403, "GET", "/clients", nil)
	require.Equal(t, "Ingen tilgang", o["errors"].(list)[0].(dict)["errorMessage"])
	fake.SelfService().Fail(maskinportentest.Fault{Drop: true})
	_, err := fake.HTTPClient().Get(fake.SelfService().URL() + "/delegationsources")
	require.ErrorIs(t, err, io.EOF)
	fake.SelfService().Heal()
	p.ok(200, "GET", "/clients/"+maskinportentest.DefaultClientID, nil)
}

// An admin client asks the self-service API with a token of Digdir's scopes.
func ExampleFake_SelfService() {
	fake := maskinportentest.New()
	fake.SelfService().SetArrival(0) // until a change reaches Maskinporten
	admin, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}
	token, err := admin.Token(context.Background(), maskinporten.Request{Scope: "idporten:dcr.read"})
	if err != nil {
		panic(err)
	}
	req, err := http.NewRequest(http.MethodGet, fake.SelfService().URL()+"/clients/"+maskinportentest.DefaultClientID, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.AccessToken())
	resp, err := fake.HTTPClient().Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.StatusCode, fake.SelfService().Requests()[0].OrgNumber)
	// Output: 200 910753614
}
