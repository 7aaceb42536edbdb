package maskinporten_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

const (
	supplier    = maskinportentest.DefaultOrgNumber
	pension     = "991825827"
	undelegated = "314168267"
	person      = "25922947409"
)

// What each kind of Request asks for comes back in a token that verifies.
func TestTokensSayWhatWasAskedFor(t *testing.T) {
	fake := maskinportentest.New()
	client, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	verifier, err := resourceserver.NewVerifier(fake.Environment(), fake.HTTPClient())
	require.NoError(t, err)
	consent := resourceserver.ConsentClaim{
		ID: "93413201-b7e8-4ec3-a899-580fc02c6aeb", From: "urn:altinn:person:identifier-no:" + person, To: supplier,
		Consented: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), ValidTo: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
		Rights: []resourceserver.ConsentRight{{Actions: []string{"consent"}, Resources: []string{"ttd-samtykke"}, Metadata: map[string]string{"inntektsaar": "2025"}}},
	}
	fake.AddConsent(consent)
	fake.AddSystemUser(maskinportentest.SystemUser{ID: "ebe4a681-0a8c-429e-a36f-8f9ca942b59f", SystemID: "matrix_test", OrgNumber: pension, ExternalRef: "avd-1"})

	for _, test := range []struct {
		name    string
		request maskinporten.Request
		check   func(*resourceserver.Claims)
	}{
		{"own", maskinporten.Request{Scope: "a:one b:two"}, func(c *resourceserver.Claims) {
			require.ElementsMatch(t, []string{"a:one", "b:two"}, c.Scopes)
			require.Equal(t, supplier, c.Consumer)
			require.Empty(t, c.Supplier)
			require.Equal(t, []string{"unspecified"}, c.Audience)
		}},
		{"delegated", maskinporten.Request{Scope: "a:one", ConsumerOrg: pension}, func(c *resourceserver.Claims) {
			require.Equal(t, pension, c.Consumer)
			require.Equal(t, supplier, c.Supplier)
			require.NotEmpty(t, c.DelegationSource)
		}},
		{"resource", maskinporten.Request{Scope: "a:one", Resource: "https://api.example"}, func(c *resourceserver.Claims) {
			require.True(t, c.HasAudience("https://api.example"))
		}},
		{"person", maskinporten.Request{Scope: "a:one", PID: person}, func(c *resourceserver.Claims) { require.Equal(t, person, c.PID) }},
		{"systembruker", maskinporten.Request{Scope: "a:one", SystemUser: maskinporten.SystemUser{OrgNumber: pension, ExternalRef: "avd-1"}}, func(c *resourceserver.Claims) {
			require.Equal(t, []resourceserver.SystemUserClaim{{IDs: []string{"ebe4a681-0a8c-429e-a36f-8f9ca942b59f"}, SystemID: "matrix_test", Owner: pension}}, c.SystemUsers)
		}},
		{"consent", maskinporten.Request{Scope: "a:one", Consent: maskinporten.Consent{ID: consent.ID, From: consent.From}}, func(c *resourceserver.Claims) {
			require.Len(t, c.Consents, 1)
			got := c.Consents[0]
			require.True(t, consent.ValidTo.Equal(got.ValidTo))
			got.Consented, got.ValidTo = consent.Consented, consent.ValidTo
			require.Equal(t, consent, got)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			token, err := client.Token(t.Context(), test.request)
			require.NoError(t, err)
			claims, err := verifier.Verify(t.Context(), token.AccessToken())
			require.NoError(t, err)
			require.Equal(t, fake.Environment().Issuer, claims.Issuer)
			require.Equal(t, maskinportentest.DefaultClientID, claims.ClientID)
			test.check(claims)
			unverified, err := resourceserver.UnverifiedClaims(token.AccessToken())
			require.NoError(t, err)
			require.Equal(t, claims, unverified)
		})
	}
}

// One customer who has not delegated is refused, and nobody else.
func TestUndelegatedCustomerHurtsNobodyElse(t *testing.T) {
	fake := maskinportentest.New()
	fake.Undelegate("a:one", undelegated, supplier)
	client, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	requests := []maskinporten.Request{{Scope: "a:one", ConsumerOrg: pension}, {Scope: "a:one", ConsumerOrg: undelegated}, {Scope: "a:one"}}
	err = client.Prefetch(t.Context(), requests, 2, nil)
	var failed *maskinporten.PrefetchError
	require.ErrorAs(t, err, &failed)
	require.Len(t, failed.Failed, 1)
	require.ErrorIs(t, failed.Failed[requests[1]], maskinporten.ErrNotDelegated)
	require.ErrorContains(t, err, undelegated)
	asked := fake.TokenRequests()
	for _, i := range []int{0, 2} {
		_, err := client.Token(t.Context(), requests[i])
		require.NoError(t, err)
	}
	require.Equal(t, asked, fake.TokenRequests())
}

func TestRotatedKeyIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		client, err := maskinporten.New(fake.Config())
		require.NoError(t, err)
		verifier, err := resourceserver.NewVerifier(fake.Environment(), fake.HTTPClient())
		require.NoError(t, err)
		request := maskinporten.Request{Scope: "a:one"}
		verify := func(access string) error {
			_, err := verifier.Verify(t.Context(), access)
			return err
		}
		old, err := client.Token(t.Context(), request)
		require.NoError(t, err)
		require.NoError(t, verify(old.AccessToken()))

		fake.RotateKey()
		client.Invalidate(old.AccessToken())
		young, err := client.Token(t.Context(), request)
		require.NoError(t, err)
		require.NoError(t, verify(young.AccessToken()))
		require.NoError(t, verify(old.AccessToken()))
		time.Sleep(2 * time.Minute)
		require.ErrorIs(t, verify(young.AccessToken()), resourceserver.ErrTokenExpired)
	})
}

func TestAltinnTradesForACustomer(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		fake := maskinportentest.New()
		fake.Altinn().SetJSON(asJSON)
		client, err := maskinporten.New(fake.Config())
		require.NoError(t, err)
		exchanged := client.WithExchange(altinn.Exchange{Platform: fake.Altinn().URL(), TestOrg: true})
		const host = "ttd.apps.tt02.altinn.no"
		fake.Handle(host, fake.Altinn().Guard("altinn:instances.read", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			require.Equal(t, pension, maskinportentest.ClaimsFromContext(r.Context()).Consumer)
		})))
		transport, err := exchanged.Transport(maskinporten.Request{Scope: "altinn:instances.read", ConsumerOrg: pension}, fake.Transport(), host)
		require.NoError(t, err)
		for range 3 {
			resp, err := (&http.Client{Transport: transport}).Get("https://" + host + "/")
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, http.StatusOK, resp.StatusCode)
		}
		exchanges := fake.Altinn().Exchanges()
		require.Len(t, exchanges, 1)
		require.True(t, exchanges[0].Test)
		require.Equal(t, supplier, exchanges[0].Claims.Supplier)
	}
}

// A Maskinporten token that is good by our count and not by Altinn's is
// dropped, and another traded.
func TestAltinnAfterTokensWereRevoked(t *testing.T) {
	fake := maskinportentest.New()
	client, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	exchanged := client.WithExchange(altinn.TT02)
	request := maskinporten.Request{Scope: "altinn:instances.read"}
	before, err := client.Token(t.Context(), request)
	require.NoError(t, err)
	fake.RevokeTokens()
	_, err = exchanged.Token(t.Context(), request)
	require.NoError(t, err)
	after, err := client.Token(t.Context(), request)
	require.NoError(t, err)
	require.NotEqual(t, before.AccessToken(), after.AccessToken())
	require.Equal(t, 2, fake.TokenRequests())
}
