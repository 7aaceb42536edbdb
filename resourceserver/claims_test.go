package resourceserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
)

// unsignedToken is claims in a token whose signature nobody is to check.
func unsignedToken(claims string) string {
	return segment(object{"alg": "RS256", "kid": "k1"}) + "." + segment(json.RawMessage(claims)) + ".c2ln"
}

func norwegian(number string) OrganisationID {
	return OrganisationID{Authority: "iso6523-actorid-upis", ID: "0192:" + number}
}

func TestClaims(t *testing.T) {
	for _, test := range []struct {
		name   string
		reason string
		token  string
		want   Claims
	}{{
		name:   "own organisation",
		reason: "the plain token of Digdir's page",
		token: `{"iss":"https://test.maskinporten.no/","client_amr":"virksomhetssertifikat","token_type":"Bearer","aud":"unspecified",
			"consumer":{"authority":"iso6523-actorid-upis","ID":"0192:910753614"},"exp":1752825571,"scope":"a:b c:d","iat":1752825451,"client_id":"c1","jti":"j1"}`,
		want: Claims{
			Issuer: maskinporten.Test.Issuer, ID: "j1", IssuedAt: time.Unix(1752825451, 0), Expiry: time.Unix(1752825571, 0),
			Scopes: []string{"a:b", "c:d"}, Audience: []string{"unspecified"}, ClientID: "c1", ClientAMR: "virksomhetssertifikat",
			Consumer: "910753614", ConsumerID: norwegian("910753614"),
		},
	}, {
		name:   "delegated, restricted to several audiences and a person",
		reason: "aud may be an array (RFC 7519 §4.1.3); consumer and supplier must not be confused",
		token: `{"aud":["https://a.example","https://b.example"],"pid":"25922947409","delegation_source":"https://tt02.altinn.no/",
			"consumer":{"authority":"iso6523-actorid-upis","ID":"0192:991825827"},"supplier":{"authority":"iso6523-actorid-upis","ID":"0192:910753614"}}`,
		want: Claims{
			Scopes: []string{}, Audience: []string{"https://a.example", "https://b.example"}, PID: "25922947409", DelegationSource: "https://tt02.altinn.no/",
			Consumer: "991825827", ConsumerID: norwegian("991825827"), Supplier: "910753614", SupplierID: norwegian("910753614"),
		},
	}, {
		name:   "systembruker",
		reason: "Altinn's pages write both ID and id",
		token: `{"authorization_details":[{"type":"urn:altinn:systemuser","systemuser_org":{"authority":"iso6523-actorid-upis","id":"0192:314168267"},
			"systemuser_id":["ebe4a681-0a8c-429e-a36f-8f9ca942b59f"],"system_id":"matrix_test"},{"type":"urn:other"}]}`,
		want: Claims{Scopes: []string{}, SystemUsers: []SystemUserClaim{{
			IDs: []string{"ebe4a681-0a8c-429e-a36f-8f9ca942b59f"}, SystemID: "matrix_test", Owner: "314168267",
		}}},
	}, {
		name:   "consent",
		reason: "the token of Altinn's page, with metaData as another of its pages has it",
		token: `{"authorization_details":[{"type":"urn:altinn:consent","id":"93413201-b7e8-4ec3-a899-580fc02c6aeb",
			"from":"urn:altinn:person:identifier-no:25922947409","to":{"authority":"iso6523-actorid-upis","ID":"0192:991825827"},
			"consented":"2025-07-18T07:57:30.409251+00:00","validTo":"2026-07-18T07:57:15+00:00",
			"consentRights":[{"action":["consent"],"resource":[{"type":"urn:altinn:resource","value":"samtykke-test"}],"metaData":{"inntektsaar":"2022"}}]}]}`,
		want: Claims{Scopes: []string{}, Consents: []ConsentClaim{{
			ID: "93413201-b7e8-4ec3-a899-580fc02c6aeb", From: "urn:altinn:person:identifier-no:25922947409", To: "991825827",
			Consented: time.Date(2025, 7, 18, 7, 57, 30, 409251000, time.UTC), ValidTo: time.Date(2026, 7, 18, 7, 57, 15, 0, time.UTC),
			Rights: []ConsentRight{{Actions: []string{"consent"}, Resources: []string{"samtykke-test"}, Metadata: map[string]string{"inntektsaar": "2022"}}},
		}}},
	}, {
		name:   "consent to a URN",
		reason: "Altinn's overview shows the receiver as a URN",
		token:  `{"authorization_details":[{"type":"urn:altinn:consent","from":"urn:altinn:organization:identifier-no:910753614","to":"urn:altinn:organization:identifier-no:984851006"}]}`,
		want:   Claims{Scopes: []string{}, Consents: []ConsentClaim{{From: "urn:altinn:organization:identifier-no:910753614", To: "984851006"}}},
	}} {
		t.Run(test.name, func(t *testing.T) {
			got, err := UnverifiedClaims(unsignedToken(test.token))
			require.NoError(t, err, test.reason)
			for i := range got.Consents {
				got.Consents[i].Consented = got.Consents[i].Consented.UTC()
				got.Consents[i].ValidTo = got.Consents[i].ValidTo.UTC()
			}
			require.Equal(t, test.want, *got, test.reason)
		})
	}
}

// Organisations that are not named as a Norwegian one is do not void a token.
func TestOrganisations(t *testing.T) {
	for _, test := range []struct{ name, authority, id, number string }{
		{"Norwegian", "iso6523-actorid-upis", "0192:910753614", "910753614"},
		{"with a third part", "iso6523-actorid-upis", "0192:910753614:avdeling", "910753614"},
		{"European", "etsi-en-319-412", "NTRSE-5567037485", ""},
		{"Norwegian with a European eSeal", "etsi-en-319-412", "NTRNO-910753614", "910753614"},
		{"another register of ISO 6523", "iso6523-actorid-upis", "0007:5567037485", ""},
		{"fails the modulus 11 check", "iso6523-actorid-upis", "0192:123456789", ""},
		{"with spaces", "iso6523-actorid-upis", "0192:910 753 614", ""},
		{"a person", "iso6523-actorid-upis", "0192:25922947409", ""},
		{"the form of one authority under another", "iso6523-actorid-upis", "NTRNO-910753614", ""},
		{"a European form without its country", "etsi-en-319-412", "910753614", ""},
		{"without its register", "iso6523-actorid-upis", "910753614", ""},
		{"another authority", "other", "0192:910753614", ""},
		{"no authority", "", "0192:910753614", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ref := `{"authority":"` + test.authority + `","ID":"` + test.id + `","countryName":"XX"}`
			c, err := UnverifiedClaims(unsignedToken(`{"consumer":` + ref + `,"supplier":` + ref + `}`))
			require.NoError(t, err)
			id := OrganisationID{Authority: test.authority, ID: test.id}
			require.Equal(t, test.number, c.Consumer)
			require.Equal(t, test.number, c.Supplier)
			require.Equal(t, id, c.ConsumerID)
			require.Equal(t, id, c.SupplierID)
		})
	}
}

// What is not known in authorization_details is passed over, and the rest read.
func TestUnknownDetailsArePassedOver(t *testing.T) {
	const known = `{"type":"urn:altinn:systemuser","systemuser_id":["1"],"system_id":"s"}`
	for _, unknown := range []string{
		`17`, `null`, `"urn:altinn:systemuser"`, `[]`, `{}`, `{"type":17}`, `{"type":"urn:other","a":1,"A":2}`,
		`{"type":"urn:altinn:systemuser","systemuser_id":17}`, `{"type":"urn:altinn:systemuser","systemuser_org":"x"}`,
		`{"type":"urn:altinn:consent","validTo":"tomorrow"}`, `{"type":"urn:altinn:consent","consentRights":"all"}`,
		`{"type":"urn:altinn:consent","consentRights":[{"action":17}]}`, `{"type":"urn:altinn:consent","consentRights":[{"resource":[{"value":17}]}]}`,
	} {
		c, err := UnverifiedClaims(unsignedToken(`{"authorization_details":[` + unknown + `,` + known + `]}`))
		require.NoError(t, err, unknown)
		require.Equal(t, []SystemUserClaim{{IDs: []string{"1"}, SystemID: "s"}}, c.SystemUsers, unknown)
		require.Empty(t, c.Consents, unknown)
	}
	for _, details := range []string{`17`, `{}`, `"x"`, `null`} {
		_, err := UnverifiedClaims(unsignedToken(`{"authorization_details":` + details + `}`))
		require.NoError(t, err, details)
	}
}

func TestHasScopeIsExact(t *testing.T) {
	c := &Claims{Scopes: []string{"bank:saldo.read"}, Audience: []string{"https://a.example/"}}
	require.True(t, c.HasScope("bank:saldo.read"))
	require.False(t, c.HasScope("bank:saldo"))
	require.True(t, c.HasAudience("https://a.example/"))
	require.False(t, c.HasAudience("https://a.example"))
}

// Scopes are separated by blanks alone: what another reader takes for one scope
// does not grant two.
func TestScopesAreSplitAtBlanks(t *testing.T) {
	for scope, want := range map[string][]string{
		"a:b c:d":           {"a:b", "c:d"},
		" a:b  c:d ":        {"a:b", "c:d"},
		"x\\ta:b":           {"x\ta:b"},
		"x\\na:b":           {"x\na:b"},
		"x\u00a0a:b c:d":    {"x\u00a0a:b", "c:d"},
		"x\u2028a:b\u3000c": {"x\u2028a:b\u3000c"},
	} {
		c, err := UnverifiedClaims(unsignedToken(`{"scope":"` + scope + `"}`))
		require.NoError(t, err)
		require.Equal(t, want, c.Scopes, "%q", scope)
	}
}

func TestUnverifiedClaimsRefuses(t *testing.T) {
	for _, token := range []string{
		"", ".", "..", "a.b.c", "a.e30", "a.e30.c.d", "a.e30=.c", "a.eyJ.c", "a.W10.c", "a.IiI.c",
		unsignedToken(`{"exp":-1}`), unsignedToken(`{"aud":17}`), unsignedToken(`{"aud":[17]}`), unsignedToken(`{"consumer":"x"}`),
	} {
		c, err := UnverifiedClaims(token)
		require.ErrorIs(t, err, ErrTokenInvalid, token)
		require.Nil(t, c)
		require.NotContains(t, err.Error(), "25922947409")
	}
}

func TestClaimsDoNotShowPersons(t *testing.T) {
	const pid = "25922947409"
	claims, err := UnverifiedClaims(unsignedToken(`{"client_id":"client-1","pid":"` + pid + `","authorization_details":[{"type":"urn:altinn:consent","from":"urn:altinn:person:identifier-no:` + pid + `"}]}`))
	require.NoError(t, err)
	require.Equal(t, pid, claims.PID)
	require.Contains(t, claims.Consents[0].From, pid)

	var out bytes.Buffer
	for _, v := range []any{claims, *claims, claims.Consents, claims.Consents[0], &claims.Consents[0], struct{ C *Claims }{claims}, map[string]any{"c": *claims}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		text, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
	}
	require.NotContains(t, out.String(), pid)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", pid))
	require.Contains(t, out.String(), "client-1")
	require.Contains(t, claims.Consents[0].From, pid, "printing changes nothing")
}

func FuzzUnverifiedClaims(f *testing.F) {
	f.Add(unsignedToken(`{"iss":"i","aud":"a","iat":1,"exp":2,"consumer":{"authority":"iso6523-actorid-upis","ID":"0192:910753614"}}`))
	f.Add(unsignedToken(`{"aud":["a",null],"consumer":null,"authorization_details":[{"type":"urn:altinn:consent","to":"urn:altinn:organization:identifier-no:910753614","validTo":"2026-07-18T07:57:15+00:00"}]}`))
	f.Add("a.e30.c")
	f.Fuzz(func(t *testing.T, token string) {
		c, err := UnverifiedClaims(token)
		if err != nil {
			require.ErrorIs(t, err, ErrTokenInvalid)
			require.Nil(t, c)
			return
		}
		for _, org := range []string{c.Consumer, c.Supplier} {
			if org != "" {
				_, err := maskinporten.ParseOrgNumber(org)
				require.NoError(t, err)
			}
		}
		text, err := json.Marshal(c)
		require.NoError(t, err)
		if regexp.MustCompile("^[0-9]{11}$").MatchString(c.PID) {
			require.NotContains(t, string(text), `"PID":"`+c.PID)
		}
	})
}
