package jws

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	owner    = "910753614"
	customer = "991825827"
	stranger = "314168267"
	person   = "25922947409"
)

func TestSubject(t *testing.T) {
	org := func(claim, number string) string {
		return `"` + claim + `":{"authority":"iso6523-actorid-upis","ID":"0192:` + number + `"}`
	}
	user := func(number string) string {
		return `"authorization_details":[17,{"type":"urn:other"},{"type":"urn:altinn:systemuser",` + org("systemuser_org", number) + `}]`
	}
	const consent = "93413201-b7e8-4ec3-a899-580fc02c6aeb"
	consentOf := func(id string) string {
		return `"authorization_details":[{"type":"urn:altinn:consent","id":"` + id + `"}]`
	}
	var (
		own       = Subject{Owner: owner}
		unknown   = Subject{}
		delegated = Subject{Owner: owner, Consumer: customer}
	)
	for _, test := range []struct {
		name    string
		subject Subject
		claims  string
		refused string // part of the error; empty: the token is taken
	}{
		{"the own organisation's", own, org("consumer", owner), ""},
		{"a customer's for the own organisation", own, org("consumer", customer) + "," + org("supplier", owner), `asked for the own organisation, 910753614, got "0192:991825827"`},
		{"another organisation's", own, org("consumer", stranger), "asked for the own"},
		{"the own organisation by a European eSeal", own, `"consumer":{"authority":"etsi-en-319-412","ID":"NTRNO-910753614"}`, ""},
		{"a foreign business", own, `"consumer":{"authority":"etsi-en-319-412","ID":"NTRSE-5567037485"}`, ""},
		{"an own organisation that is not known", unknown, org("consumer", stranger), ""},
		{"a customer's, and the own organisation is not known", unknown, org("consumer", customer) + "," + org("supplier", stranger), "asked for the own organisation"},

		{"the customer's", delegated, org("consumer", customer) + "," + org("supplier", owner), ""},
		{"the customer's, without authority", delegated, `"consumer":{"ID":"0192:991825827"}`, ""},
		{"the customer's, with a third part", delegated, org("consumer", customer+":x"), ""},
		{"another customer's", delegated, org("consumer", stranger) + "," + org("supplier", owner), `asked for 991825827, got "0192:314168267"`},
		{"the own organisation's for a customer", delegated, org("consumer", owner), "asked for 991825827"},
		{"a foreign business for a customer", delegated, `"consumer":{"authority":"etsi-en-319-412","ID":"NTRSE-5567037485"}`, `got "NTRSE-5567037485"`},
		{"the customer's by another supplier", delegated, org("consumer", customer) + "," + org("supplier", stranger), "asked for supplier 910753614"},
		{"the customer's, and the own organisation is not known", Subject{Consumer: customer}, org("consumer", customer) + "," + org("supplier", stranger), ""},
		{"a customer named by iss_onbehalfof", Subject{Owner: owner, OtherParty: true}, org("consumer", customer) + "," + org("supplier", owner), ""},
		{"a person as consumer", delegated, org("consumer", person), `got "[hidden]"`},

		{"the person's", Subject{PID: person}, `"pid":"` + person + `"`, ""},
		{"another person's", Subject{PID: person}, `"pid":"10987654321"`, "about another person"},
		{"a person's, and none was asked for", own, `"pid":"` + person + `"`, "a person, and none was asked for"},
		{"no word of the person", Subject{PID: person}, ``, ""},

		{"the systembruker's", Subject{SystemUser: customer}, user(customer), ""},
		{"another systembruker's", Subject{SystemUser: customer}, user(stranger), "another systembruker"},
		{"a systembruker's, and none was asked for", own, user(stranger), "a systembruker, and none"},
		{"no word of the systembruker", Subject{SystemUser: customer}, ``, ""},
		{"details of another shape", Subject{SystemUser: customer}, `"authorization_details":{}`, ""},

		{"the consent", Subject{ConsentID: consent}, consentOf(consent), ""},
		{"the consent in capitals", Subject{ConsentID: consent}, consentOf("93413201-B7E8-4EC3-A899-580FC02C6AEB"), ""},
		{"another consent", Subject{ConsentID: consent}, consentOf("77ed8698-4d9b-4a3b-8f9e-1a7cdbc1f0aa"), "another consent"},
		{"a consent, and none was asked for", own, consentOf(consent), "a consent, and none"},

		{"nothing", delegated, ``, ""},
	} {
		err := test.subject.Check(token(`{}`, "{"+test.claims+"}"))
		if test.refused == "" {
			require.NoError(t, err, test.name)
			continue
		}
		var mismatch *Mismatch
		require.ErrorAs(t, err, &mismatch, test.name)
		require.ErrorContains(t, err, test.refused, test.name)
		require.NotContains(t, err.Error(), person)
		require.NotContains(t, err.Error(), "10987654321")
	}
	for _, opaque := range []string{"opaque", "a.b", "a.b.c.d.e"} {
		require.NoError(t, delegated.Check(opaque), opaque)
	}
	for _, unreadable := range []string{
		"a.b.c", "a.!.c", token(`{}`, `[]`), token(`{}`, `{"consumer":1,"Consumer":1}`), token(`{}`, `{"consumer":"x"}`),
		token(`{}`, `{"supplier":"x"}`), token(`{}`, `{"pid":1}`), token(`{}`, `{"consumer":{"ID":"a","id":"b"}}`),
	} {
		err := delegated.Check(unreadable)
		var bad *Error
		require.True(t, errors.As(err, &bad), unreadable)
	}
}
