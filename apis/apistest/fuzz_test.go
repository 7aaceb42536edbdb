package apistest

import "testing"

// Whatever a query is, it is read or refused, and what is selected of an
// employment is part of it.
func FuzzQuery(f *testing.F) {
	f.Add(`query($o: ID!) {finnArbeidsforholdPrArbeidstaker(opplysningspliktigId: $o, a: "x"){arbeidsforhold{id svar: uuid}}}`)
	f.Add(`{a{b(c:null){d}}}`)
	f.Add("query Q($a:[ID!]=[\"x\"]){a # comment\n{b}}")
	f.Add(`{a{`)
	employment := map[string]any{"arbeidsforhold": []any{Employment{PID: Person, Employer: Employer, From: "2019-11-01"}.object()}}
	f.Fuzz(func(t *testing.T, text string) {
		fields, err := parseQuery(text, map[string]any{"o": Employer})
		if err != nil {
			return
		}
		if len(fields) == 0 {
			t.Fatal("nothing is selected")
		}
		if _, err := project(employment, fields); err == nil {
			for _, f := range fields {
				if f.name != "arbeidsforhold" {
					t.Fatalf("%q was found", f.name)
				}
			}
		}
	})
}
