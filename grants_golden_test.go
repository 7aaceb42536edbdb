package maskinporten

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	goldenPID     = "25922947409"
	goldenConsent = "93413201-b7e8-4ec3-a899-580fc02c6aeb"
)

// The claims of a grant, whole, for each combination that Maskinporten takes.
func TestGrantClaims(t *testing.T) {
	owner := SystemUser{OrgNumber: "314168267"}
	for name, r := range map[string]Request{
		"scope":                {Scope: "skatteetaten:inntekt"},
		"scopes":               {Scope: "b:two a:one"},
		"consumer":             {Scope: "skatteetaten:inntekt", ConsumerOrg: "991825827"},
		"resource":             {Scope: "a:one", Resource: "https://api.example.no/v1"},
		"pid":                  {Scope: "a:one", PID: goldenPID},
		"on-behalf-of":         {Scope: "a:one", OnBehalfOf: "customer-7"},
		"systemuser":           {Scope: "a:one", SystemUser: owner},
		"systemuser-ref":       {Scope: "a:one", SystemUser: SystemUser{OrgNumber: "314168267", ExternalRef: "avd_Ærø-1"}},
		"consent-person":       {Scope: "a:one", Consent: Consent{ID: goldenConsent, From: consentPerson + goldenPID}},
		"consent-organisation": {Scope: "a:one", Consent: Consent{ID: goldenConsent, From: consentOrganisation + "991825827"}},

		"consumer+resource":           {Scope: "a:one", ConsumerOrg: "991825827", Resource: "https://api.example.no/v1"},
		"consumer+pid":                {Scope: "a:one", ConsumerOrg: "991825827", PID: goldenPID},
		"consumer+systemuser":         {Scope: "a:one", ConsumerOrg: "991825827", SystemUser: owner},
		"consumer+consent":            {Scope: "a:one", ConsumerOrg: "991825827", Consent: Consent{ID: goldenConsent, From: consentPerson + goldenPID}},
		"on-behalf-of+resource+pid":   {Scope: "a:one", OnBehalfOf: "customer-7", Resource: "https://api.example.no/v1", PID: goldenPID},
		"consumer+resource+pid+owner": {Scope: "b:two a:one", ConsumerOrg: "991825827", Resource: "https://api.example.no/v1", PID: goldenPID, SystemUser: owner},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, r.Validate())
			r = r.normalized()
			g := newGrant(Test, "client-1", &r, time.Unix(1767225600, 0))
			require.Regexp(t, "^[0-9a-f]{32}$", g.ID)
			g.ID = "[128 random bits]"
			text, err := json.MarshalIndent(g, "", "  ")
			require.NoError(t, err)
			golden(t, "grants/"+name+".json", string(text)+"\n")
		})
	}
}

// What Maskinporten would refuse, and what is said instead of sending it.
func TestRefusedRequests(t *testing.T) {
	c, err := New(Config{Environment: Test, ClientID: "client-1", Credential: testCredential()})
	require.NoError(t, err)
	var out strings.Builder
	for _, test := range []struct {
		name string
		r    Request
	}{
		{"no scope", Request{ConsumerOrg: "991825827"}},
		{"scope of spaces", Request{Scope: "  "}},
		{"line break in the scope", Request{Scope: "a:one\n"}},
		{"tab between scopes", Request{Scope: "a:one\tb:two"}},
		{"quotation mark in the scope", Request{Scope: `a:"one"`}},
		{"scope outside ASCII", Request{Scope: "å:one"}},
		{"consumer that fails the check", Request{Scope: "a:one", ConsumerOrg: "123456789"}},
		{"consumer in ISO 6523 form", Request{Scope: "a:one", ConsumerOrg: "0192:991825827"}},
		{"consumer with spaces", Request{Scope: "a:one", ConsumerOrg: "991 825 827"}},
		{"a person as consumer", Request{Scope: "a:one", ConsumerOrg: goldenPID}},
		{"consumer is the certificate's organisation", Request{Scope: "a:one", ConsumerOrg: testOrg}},
		{"consumer with on-behalf-of", Request{Scope: "a:one", ConsumerOrg: "991825827", OnBehalfOf: "customer-7"}},
		{"on-behalf-of with a space", Request{Scope: "a:one", OnBehalfOf: "customer 7"}},
		{"resource without scheme", Request{Scope: "a:one", Resource: "api.example.no"}},
		{"resource with a fragment", Request{Scope: "a:one", Resource: "https://api.example.no/#a"}},
		{"person of ten digits", Request{Scope: "a:one", PID: goldenPID[1:]}},
		{"person with a space", Request{Scope: "a:one", PID: "259229 47409"}},
		{"external reference without organisation", Request{Scope: "a:one", SystemUser: SystemUser{ExternalRef: "x"}}},
		{"external reference with a space", Request{Scope: "a:one", SystemUser: SystemUser{OrgNumber: "314168267", ExternalRef: "a b"}}},
		{"external reference of 256", Request{Scope: "a:one", SystemUser: SystemUser{OrgNumber: "314168267", ExternalRef: strings.Repeat("å", 256)}}},
		{"systembruker of no organisation", Request{Scope: "a:one", SystemUser: SystemUser{OrgNumber: "987654321"}}},
		{"consent without id", Request{Scope: "a:one", Consent: Consent{From: consentPerson + goldenPID}}},
		{"consent without from", Request{Scope: "a:one", Consent: Consent{ID: goldenConsent}}},
		{"consent from a bare number", Request{Scope: "a:one", Consent: Consent{ID: goldenConsent, From: goldenPID}}},
		{"consent from a person of ten digits", Request{Scope: "a:one", Consent: Consent{ID: goldenConsent, From: consentPerson + goldenPID[1:]}}},
		{"consent from no organisation", Request{Scope: "a:one", Consent: Consent{ID: goldenConsent, From: consentOrganisation + "123456789"}}},
		{"systembruker with consent", Request{Scope: "a:one", SystemUser: SystemUser{OrgNumber: "314168267"}, Consent: Consent{ID: goldenConsent, From: consentPerson + goldenPID}}},
	} {
		_, err := c.TokenSource(test.r)
		var field *FieldError
		require.ErrorAs(t, err, &field, test.name)
		require.NotContains(t, err.Error(), goldenPID[1:], test.name)
		fmt.Fprintf(&out, "%s:\n\t%v\n", test.name, err)
		_, err = c.Token(t.Context(), test.r)
		require.True(t, errors.As(err, &field), test.name)
	}
	golden(t, "grants/refused.txt", out.String())
}
