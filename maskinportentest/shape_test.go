package maskinportentest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

func TestShapeTokens(t *testing.T) {
	fake := maskinportentest.New()
	fake.AddClient(maskinportentest.Integration{ID: "bank"})
	fake.ShapeTokens(
		maskinportentest.TokenShape{Claims: map[string]any{"ekstra": 1, "delegation_source": nil}},
		maskinportentest.TokenShape{ClientID: "bank", Claims: map[string]any{"ekstra": 2, "aud": nil}},
		maskinportentest.TokenShape{Scope: "bank:lan", Granted: "bank:lan.les"},
		maskinportentest.TokenShape{Scope: "bank:pant", Opaque: true},
		maskinportentest.TokenShape{
			When:   func(g maskinportentest.Grant) bool { return g.Request().ConsumerOrg == otherOrg },
			Claims: map[string]any{"consumer": maskinportentest.EuropeanConsumer("NTRSE-5560123456")},
		},
	)
	for _, tt := range []struct {
		name, client, scope, consumer string
		granted                       string
		claims                        dict
		missing                       string
	}{
		{name: "everybody's", client: maskinportentest.DefaultClientID, scope: "bank:saldo", granted: "bank:saldo", claims: dict{"ekstra": 1.0, "aud": "unspecified"}},
		{name: "a client's", client: "bank", scope: "bank:saldo", granted: "bank:saldo", claims: dict{"ekstra": 2.0}, missing: "aud"},
		{name: "a scope's", client: "bank", scope: "bank:saldo bank:lan", granted: "bank:lan.les", claims: dict{"scope": "bank:lan.les"}},
		{name: "a European consumer", client: maskinportentest.DefaultClientID, scope: "bank:saldo", consumer: otherOrg, granted: "bank:saldo", claims: dict{"consumer": dict{
			"authority": "etsi-en-319-412", "ID": "NTRSE-5560123456", "countryName": "SE",
			"organizationName": "TEST BUSINESS NTRSE-5560123456", "commonName": "TEST BUSINESS NTRSE-5560123456",
		}}, missing: "delegation_source"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRaw(fake.Environment())
			g.claims["iss"], g.claims["scope"] = tt.client, tt.scope
			if tt.consumer != "" {
				g.claims["consumer_org"] = tt.consumer
			}
			s := post(t, fake, g.sign(t))
			require.Equal(t, http.StatusOK, s.Status, s.Description)
			require.Equal(t, tt.granted, s.Scope)
			require.True(t, fake.LastGrant().Accepted())
			claims := claimsOf(t, s.AccessToken)
			for name, want := range tt.claims {
				require.Equal(t, want, claims[name])
			}
			require.NotContains(t, claims, tt.missing)
		})
	}
	fake.ShapeTokens()
	s := post(t, fake, newRaw(fake.Environment()).sign(t))
	require.NotContains(t, claimsOf(t, s.AccessToken), "ekstra", "as Maskinporten issues them")
}

// An opaque token is worth what a JWT would be, until it expires or is revoked.
func TestOpaqueTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		fake.ShapeTokens(maskinportentest.TokenShape{Opaque: true})
		client := newClient(t, fake.Config())
		token, err := client.Token(t.Context(), maskinporten.Request{Scope: "bank:saldo", ConsumerOrg: otherOrg})
		require.NoError(t, err)
		require.NotContains(t, token.AccessToken(), ".")
		require.True(t, fake.LastGrant().Accepted())
		claims, denied := fake.Check(bearer(token.AccessToken()), "bank:saldo")
		require.Nil(t, denied)
		require.Equal(t, otherOrg, claims.Consumer)
		time.Sleep(120 * time.Second)
		_, denied = fake.Check(bearer(token.AccessToken()), "bank:saldo")
		require.Equal(t, 401, denied.Status)

		token, err = client.Token(t.Context(), maskinporten.Request{Scope: "bank:lan"})
		require.NoError(t, err)
		fake.RevokeTokens()
		_, denied = fake.Check(bearer(token.AccessToken()), "bank:lan")
		require.Equal(t, 401, denied.Status)
	})
}

// How long a token lives is its client's word, or less by its scopes'.
func TestLifetimes(t *testing.T) {
	fake := maskinportentest.New()
	fake.SetTokenLifetime(10 * time.Minute)
	fake.AddClient(maskinportentest.Integration{ID: "long", TokenLifetime: 2 * time.Hour})
	fake.AddScope(maskinportentest.Scope{Name: "bank:lan", MaxLifetime: time.Minute})
	for _, tt := range []struct {
		reason, client, scope string
		seconds               int
	}{
		{"the fake's", maskinportentest.DefaultClientID, "bank:saldo", 600},
		{"the client's", "long", "bank:saldo", 7200},
		{"the scope's", "long", "bank:saldo bank:lan", 60},
	} {
		g := newRaw(fake.Environment())
		g.claims["iss"], g.claims["scope"] = tt.client, tt.scope
		require.Equal(t, tt.seconds, post(t, fake, g.sign(t)).ExpiresIn, tt.reason)
	}
}

// A European business's token, without a grant.
func TestEuropeanAccessToken(t *testing.T) {
	fake := maskinportentest.New()
	id := resourceserver.OrganisationID{Authority: "etsi-en-319-412", ID: "NTRSE-5560123456"}
	claims, denied := fake.Check(bearer(fake.AccessToken(resourceserver.Claims{Scopes: []string{"a:b"}, ConsumerID: id})), "a:b")
	require.Nil(t, denied)
	require.Empty(t, claims.Consumer)
	require.Equal(t, id, claims.ConsumerID)
	require.Panics(t, func() { maskinportentest.EuropeanConsumer("SE") })
}

// A token that an API of the future might get: without aud, with a claim that
// nobody knows, for a European business.
func ExampleFake_ShapeTokens() {
	fake := maskinportentest.New()
	fake.ShapeTokens(maskinportentest.TokenShape{
		Scope:  "bank:saldo",
		Claims: map[string]any{"aud": nil, "consumer": maskinportentest.EuropeanConsumer("NTRSE-5560123456")},
	})
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}
	token, err := client.Token(context.Background(), maskinporten.Request{Scope: "bank:saldo"})
	if err != nil {
		panic(err)
	}
	claims, err := resourceserver.UnverifiedClaims(token.AccessToken())
	fmt.Println(claims.ConsumerID.ID, claims.Audience, err)
	// Output: NTRSE-5560123456 [] <nil>
}

// A client in production sends a claim that Digdir does not document.
func ExampleFake_AsDeployed() {
	fake := maskinportentest.New()
	fake.AsDeployed()
	g := newRaw(fake.Environment()) // a grant of another library's making
	g.claims["nbf"] = time.Now().Unix()
	assertion := g.sign(&testing.T{})

	resp, err := fake.HTTPClient().Post(fake.Environment().TokenURL, "application/x-www-form-urlencoded", strings.NewReader(form(assertion).Encode()))
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode, fake.LastGrant().Warnings)
	// Output: 200 [Unknown claim nbf]
}
