package maskinportentest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

func readCloser(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func newClient(t *testing.T, cfg maskinporten.Config) *maskinporten.Client {
	t.Helper()
	client, err := maskinporten.New(cfg)
	require.NoError(t, err)
	return client
}

func TestFaultOfAnUnknownCodeIsAMistake(t *testing.T) {
	fake := maskinportentest.New()
	require.Panics(t, func() { fake.FailNext(1, maskinportentest.Fault{MPCode: "mp-121"}) })
	require.NotPanics(t, func() { fake.Fail(maskinportentest.Fault{MPCode: "MP-999", Code: "invalid_grant"}) })
}

// The library's own grants, of every kind, stand before an endpoint that
// shares no code with it.
func TestLibraryGrants(t *testing.T) {
	requests := []maskinporten.Request{
		{Scope: "skatteetaten:inntekt"},
		{Scope: "b:two a:one"},
		{Scope: "bank:saldo", ConsumerOrg: otherOrg},
		{Scope: "bank:saldo", Resource: "https://api.bank.example/v1"},
		{Scope: "bank:saldo", PID: "25922947409"},
		{Scope: "bank:saldo", OnBehalfOf: otherOrg},
		{Scope: "bank:saldo", SystemUser: maskinporten.SystemUser{OrgNumber: otherOrg}},
		{Scope: "bank:saldo", SystemUser: maskinporten.SystemUser{OrgNumber: otherOrg, ExternalRef: "avdeling_Ø-1"}},
		{Scope: "bank:saldo", Consent: maskinporten.Consent{ID: "77ed8698-e619-4066-9eb4-5c1eb3f165a1", From: "urn:altinn:person:identifier-no:25922947409"}},
		{Scope: "bank:saldo", Consent: maskinporten.Consent{ID: "77ed8698-e619-4066-9eb4-5c1eb3f165a1", From: "urn:altinn:organization:identifier-no:" + thirdOrg}, ConsumerOrg: otherOrg, Resource: "https://api.bank.example", PID: "25922947409"},
	}
	server, tls := maskinportentest.NewServer(), maskinportentest.NewTLSServer()
	defer server.Close()
	defer tls.Close()
	for _, fake := range []*maskinportentest.Fake{maskinportentest.New(), maskinportentest.NewFor(maskinporten.Prod), server, tls} {
		fake.AddClient(maskinportentest.Integration{ID: "keys", Keys: []maskinportentest.Key{{ID: "k1"}}})
		key := fake.ConfigFor("keys")
		key.Credential = maskinportentest.KeyCredential("k1")
		jwk := fake.ConfigFor("keys")
		var err error
		jwk.Credential, err = maskinporten.LoadJWK(maskinportentest.JWK("k1"))
		require.NoError(t, err)
		for _, cfg := range []maskinporten.Config{fake.Config(), key, jwk} {
			client := newClient(t, cfg)
			for _, r := range requests {
				token, err := client.Token(t.Context(), r)
				require.NoError(t, err, r)
				got := fake.LastGrant()
				require.True(t, got.Accepted())
				require.Equal(t, token.AccessToken(), got.AccessToken)
				if r.Scope == "b:two a:one" {
					r.Scope = "a:one b:two"
				}
				require.Equal(t, r, got.Request())
				_, err = newVerifier(t, fake).Verify(t.Context(), token.AccessToken())
				require.NoError(t, err)
			}
		}
		require.Equal(t, 3*len(requests), fake.TokenRequests())
	}
}

func TestTokenClaims(t *testing.T) {
	fake := maskinportentest.New()
	fake.AddSystemUser(maskinportentest.SystemUser{ID: "a6e3d5a5-0000-4000-8000-000000000000", SystemID: "910753614_lonn", OrgNumber: otherOrg})
	client := newClient(t, fake.Config())
	token, err := client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo"})
	require.NoError(t, err)
	claims := claimsOf(t, token.AccessToken())
	for _, name := range []string{"iat", "exp", "jti"} {
		require.NotEmpty(t, claims[name])
		delete(claims, name)
	}
	require.Equal(t, dict{
		"iss": "https://test.maskinporten.no/", "client_id": maskinportentest.DefaultClientID,
		"client_amr": "virksomhetssertifikat", "scope": "bank:saldo", "token_type": "Bearer", "aud": "unspecified",
		"consumer": dict{"authority": "iso6523-actorid-upis", "ID": "0192:910753614"},
	}, claims)

	token, err = client.Token(t.Context(), maskinporten.Request{
		Scope: "bank:saldo", ConsumerOrg: otherOrg, Resource: "https://api.bank.example", PID: "25922947409",
		SystemUser: maskinporten.SystemUser{OrgNumber: otherOrg},
	})
	require.NoError(t, err)
	claims = claimsOf(t, token.AccessToken())
	require.Equal(t, dict{"authority": "iso6523-actorid-upis", "ID": "0192:" + otherOrg}, claims["consumer"])
	require.Equal(t, dict{"authority": "iso6523-actorid-upis", "ID": "0192:910753614"}, claims["supplier"])
	require.Equal(t, "https://tt02.altinn.no/", claims["delegation_source"])
	require.Equal(t, "https://api.bank.example", claims["aud"])
	require.Equal(t, "25922947409", claims["pid"])
	require.Equal(t, list{dict{
		"type": "urn:altinn:systemuser", "system_id": "910753614_lonn",
		"systemuser_id":  list{"a6e3d5a5-0000-4000-8000-000000000000"},
		"systemuser_org": dict{"authority": "iso6523-actorid-upis", "ID": "0192:" + otherOrg},
	}}, claims["authorization_details"])
}

func TestConsentComesBack(t *testing.T) {
	fake := maskinportentest.New()
	given := resourceserver.ConsentClaim{
		ID: "93413201-b7e8-4ec3-a899-580fc02c6aeb", From: "urn:altinn:person:identifier-no:25922947409", To: maskinportentest.DefaultOrgNumber,
		Consented: time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond), ValidTo: time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond),
		Rights: []resourceserver.ConsentRight{{Actions: []string{"consent"}, Resources: []string{"inntekt"}, Metadata: map[string]string{"inntektsaar": "2026"}}},
	}
	fake.AddConsent(given)
	client := newClient(t, fake.Config())
	token, err := client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo", Consent: maskinporten.Consent{ID: given.ID, From: given.From}})
	require.NoError(t, err)

	check := func(c resourceserver.ConsentClaim) {
		t.Helper()
		require.WithinDuration(t, given.Consented, c.Consented, 0)
		require.WithinDuration(t, given.ValidTo, c.ValidTo, 0)
		c.Consented, c.ValidTo = given.Consented, given.ValidTo
		require.Equal(t, given, c)
	}
	claims, err := newVerifier(t, fake).Verify(t.Context(), token.AccessToken())
	require.NoError(t, err)
	require.Len(t, claims.Consents, 1)
	check(claims.Consents[0])

	own, denied := fake.Check(bearer(token.AccessToken()), "bank:saldo")
	require.Nil(t, denied)
	require.Len(t, own.Consents, 1)
	check(own.Consents[0])
}

func bearer(token string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, "https://api.bank.example/", nil)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestMetadata(t *testing.T) {
	server := maskinportentest.NewServer()
	defer server.Close()
	for _, fake := range []*maskinportentest.Fake{maskinportentest.New(), server} {
		env, err := maskinporten.Discover(t.Context(), fake.HTTPClient(), fake.WellKnownURL())
		require.NoError(t, err)
		require.Equal(t, fake.Environment(), env)
	}
}

func TestKeyRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		fake.SetTokenLifetime(30 * time.Hour)
		old := fake.AccessToken(resourceserver.Claims{Scopes: []string{"bank:saldo"}})
		fake.RotateKey()
		young := fake.AccessToken(resourceserver.Claims{Scopes: []string{"bank:saldo"}})
		accepted := func(token string) bool {
			_, denied := fake.Check(bearer(token), "bank:saldo")
			return denied == nil
		}
		require.True(t, accepted(old), "the old key stays for a while")
		require.True(t, accepted(young))
		time.Sleep(25 * time.Hour)
		require.False(t, accepted(old), "and then goes")
		require.True(t, accepted(young))
		fake.RevokeTokens()
		require.False(t, accepted(young))
		require.True(t, accepted(fake.AccessToken(resourceserver.Claims{Scopes: []string{"bank:saldo"}})))
	})
}

func TestFaults(t *testing.T) {
	server := maskinportentest.NewServer()
	defer server.Close()
	for _, fake := range []*maskinportentest.Fake{maskinportentest.New(), server} {
		answer := func() (*http.Response, string, error) {
			body := form(newRaw(fake.Environment()).sign(t)).Encode()
			resp, err := fake.HTTPClient().Post(fake.Environment().TokenURL, "application/x-www-form-urlencoded", strings.NewReader(body))
			if err != nil {
				return nil, "", err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			return resp, string(text), err
		}
		fake.FailNext(1, maskinportentest.Fault{MPCode: "MP-121"})
		fake.FailNext(2, maskinportentest.Fault{Status: 429, RetryAfter: 1500 * time.Millisecond})
		fake.Fail(maskinportentest.Fault{Body: "<html>Logg inn</html>", Header: http.Header{"Content-Type": {"text/html"}}})

		resp, body, err := answer()
		require.NoError(t, err)
		require.Equal(t, 400, resp.StatusCode)
		require.Contains(t, body, `"error":"invalid_grant"`)
		require.Contains(t, body, "Expired key")
		require.Contains(t, body, "/errors/MP-121")
		for range 2 {
			resp, _, err = answer()
			require.NoError(t, err)
			require.Equal(t, 429, resp.StatusCode)
			require.Equal(t, "2", resp.Header.Get("Retry-After"))
		}
		for range 3 {
			resp, body, err = answer()
			require.NoError(t, err)
			require.Equal(t, 200, resp.StatusCode)
			require.Equal(t, "text/html", resp.Header.Get("Content-Type"))
			require.Equal(t, "<html>Logg inn</html>", body)
		}
		require.False(t, fake.LastGrant().Accepted())
		fake.Fail(maskinportentest.Fault{RetryAfter: time.Second})
		resp, body, err = answer()
		require.NoError(t, err)
		require.Equal(t, 503, resp.StatusCode)
		require.Contains(t, body, "503 Service Unavailable")

		fake.Fail(maskinportentest.Fault{Drop: true})
		_, _, err = answer()
		require.ErrorIs(t, err, io.EOF)
		require.Zero(t, fake.LastGrant().Status)
		require.NotEmpty(t, fake.LastGrant().AccessToken, "it was issued, and lost")

		fake.Fail(maskinportentest.Fault{MPCode: "MP-100", Cut: true})
		_, _, err = answer()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)

		fake.Fail(maskinportentest.Fault{Status: 500, When: func(g maskinportentest.Grant) bool { return g.Request().ConsumerOrg != "" }})
		resp, _, err = answer()
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode, "not this grant")

		fake.Heal()
		resp, _, err = answer()
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
	}
}

// Close ends what hangs.
func TestCloseWhileDelayed(t *testing.T) {
	fake := maskinportentest.NewServer()
	arrived := make(chan struct{})
	fake.Fail(maskinportentest.Fault{Delay: time.Hour, When: func(maskinportentest.Grant) bool { close(arrived); return true }})
	failed := make(chan error)
	go func() {
		_, err := fake.HTTPClient().Post(fake.Environment().TokenURL, "application/x-www-form-urlencoded", strings.NewReader("x"))
		failed <- err
	}()
	<-arrived
	fake.Close()
	require.Error(t, <-failed)
}

func TestClockCorrected(t *testing.T) {
	for _, offset := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			fake := maskinportentest.New()
			fake.SetClock(offset)
			_, err := newClient(t, fake.Config()).Token(t.Context(), maskinporten.Request{Scope: "bank:saldo"})
			require.NoError(t, err, "the library corrects its clock by the Date")
			require.Equal(t, 2, fake.TokenRequests())
		})
	}
}

func TestTokenLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		fake.SetTokenLifetime(5 * time.Second)
		client := newClient(t, fake.Config())
		token, err := client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo"})
		require.NoError(t, err)
		require.Equal(t, 5*time.Second, time.Until(token.Expiry()))
		time.Sleep(5 * time.Second)
		_, denied := fake.Check(bearer(token.AccessToken()), "bank:saldo")
		require.Equal(t, 401, denied.Status)
	})
}

// Several clients, each with what it may.
func TestClients(t *testing.T) {
	fake := maskinportentest.New()
	fake.AddClient(maskinportentest.Integration{ID: "bank", OrgNumber: otherOrg, Scopes: []string{"bank:saldo"}, OnBehalfOf: map[string]string{"kunde-1": thirdOrg}})
	client := newClient(t, fake.ConfigFor("bank"))
	_, err := client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo"})
	require.NoError(t, err)
	_, err = client.Token(t.Context(), maskinporten.Request{Scope: "bank:lan"})
	require.ErrorIs(t, err, maskinporten.ErrScopeNotAllowed)
	//lint:ignore SA1019 it is still taken
	token, err := client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo", OnBehalfOf: "kunde-1"})
	require.NoError(t, err)
	claims, denied := fake.Check(bearer(token.AccessToken()), "bank:saldo")
	require.Nil(t, denied)
	require.EqualValues(t, thirdOrg, claims.Consumer)
	require.EqualValues(t, otherOrg, claims.Supplier)
	//lint:ignore SA1019 it is still taken
	_, err = client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo", OnBehalfOf: "kunde-2"})
	require.Error(t, err)
	require.Panics(t, func() { fake.ConfigFor("nobody") })
}

// Many posts at once, while the fake is being told something new.
func TestConcurrentPosts(t *testing.T) {
	server := maskinportentest.NewServer()
	defer server.Close()
	for posts, fake := range map[int]*maskinportentest.Fake{2000: maskinportentest.New(), 500: server} {
		var grants [8]string
		fake.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k1", Public: &testKey().PublicKey})
		for i := range grants {
			g := newRaw(fake.Environment())
			g.useKey("k1")
			grants[i] = g.sign(t)
		}
		var accepted atomic.Int64
		var wg sync.WaitGroup
		for i := range posts {
			wg.Go(func() {
				resp, err := fake.HTTPClient().Post(fake.Environment().TokenURL, "application/x-www-form-urlencoded", strings.NewReader(form(grants[i%len(grants)]).Encode()))
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				io.Copy(io.Discard, resp.Body)
				if resp.StatusCode == 200 {
					accepted.Add(1)
				}
			})
		}
		for range 20 {
			fake.RotateKey()
			fake.AddKey(maskinportentest.DefaultClientID, maskinportentest.Key{ID: "k"})
			fake.Delegate("bank:saldo", otherOrg, thirdOrg)
			fake.SetTokenLifetime(time.Minute)
			fake.Grants()
		}
		wg.Wait()
		require.EqualValues(t, len(grants), accepted.Load(), "each grant once")
		require.Equal(t, posts, fake.TokenRequests())
		require.Len(t, fake.Grants(), min(posts, 1000))
	}
}

func TestGrantsKept(t *testing.T) {
	fake := maskinportentest.New()
	for i := range 1003 {
		post(t, fake, fmt.Sprintf("%c.not.a.JWT", 'a'+i%26))
	}
	grants := fake.Grants()
	require.Len(t, grants, 1000)
	require.False(t, grants[0].Time.After(grants[999].Time))
	require.Equal(t, 1003, fake.TokenRequests())
}
