package apistest_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten/apis/apistest"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

const (
	overviews = `query($opplysningspliktigId: ID!, $ansattFraMaaned: String!, $ansattTilMaaned: String) {finnArbeidsforholdoversikterPrOpplysningspliktig(opplysningspliktigId: $opplysningspliktigId, ansattFraMaaned: $ansattFraMaaned, ansattTilMaaned: $ansattTilMaaned){arbeidsforholdoversikter{id arbeidstaker{ident} yrke{kode beskrivelse} idHistorikk{id} sistEndret}}}`
	details   = `query Detaljer($o: ID!) { svar: finnArbeidsforholdPrArbeidstaker(opplysningspliktigId: $o, arbeidstakerId: "` + apistest.Person + `", ansattFraMaaned: "2026-01") { arbeidsforhold { ansettelsesperiode { startdato sluttdato } ansettelsesdetaljer { yrke { kode } } } } }`
	unhandled = `{finnUbehandledeArbeidstakerePrOpplysningspliktig(opplysningspliktigId: $o, rapporteringFraMaaned: $fra, rapporteringTilMaaned: $til){ubehandledeArbeidstakere{arbeidstaker{ident}}}}`
)

func ask(query string, variables dict) string {
	body, err := json.Marshal(dict{"query": query, "variables": variables})
	if err != nil {
		panic(err)
	}
	return string(body)
}

func TestAareg(t *testing.T) {
	period := func(org, from, to string) dict {
		v := dict{"opplysningspliktigId": org, "ansattFraMaaned": from}
		if to != "" {
			v["ansattTilMaaned"] = to
		}
		return v
	}
	for _, tt := range []struct {
		reason, body string
		says         []string
	}{
		{"an employer", ask(overviews, period(apistest.Employer, "2026-01", "2026-02")), []string{`"data":{"finnArbeidsforholdoversikterPrOpplysningspliktig":{"arbeidsforholdoversikter":[{`, `"ident":"` + apistest.Person, `"kode":"1228103"`}},
		{"a person's", ask(details, dict{"o": apistest.Employer}), []string{`{"data":{"svar":{"arbeidsforhold":[{"ansettelsesdetaljer":[{"yrke":{"kode":"1228103"}}],"ansettelsesperiode":{"sluttdato":null,"startdato":"2019-11-01"}}]}}}`}},
		{"before it began", ask(overviews, period(apistest.Employer, "2019-01", "2019-10")), []string{`"arbeidsforholdoversikter":[]`}},
		{"nothing unhandled", ask(unhandled, dict{"o": apistest.Employer, "fra": "2026-01"}), []string{`"ubehandledeArbeidstakere":[]`}},

		{"no organisation", ask(overviews, period("123456789", "2026-01", "")), []string{`"data":null`, "AA-051", "ValidationError"}},
		{"no month", ask(overviews, period(apistest.Employer, "", "")), []string{"AA-053"}},
		{"no last month", ask(overviews, period(apistest.Employer, "2026-01", "x")), []string{"AA-054"}},
		{"backwards", ask(overviews, period(apistest.Employer, "2026-02", "2026-01")), []string{"AA-055"}},
		{"several at once", ask(overviews, period("1", "x", "y")), []string{"AA-051", "AA-053", "AA-054"}},
		{"no person", ask(`{finnArbeidsforholdPrArbeidstaker(opplysningspliktigId: $o, ansattFraMaaned: $f){arbeidsforhold{id}}}`, dict{"o": apistest.Employer, "f": "2026-01"}), []string{"AA-052"}},
		{"no reporting month", ask(unhandled, dict{"o": apistest.Employer}), []string{"AA-056"}},
		{"backwards in reporting", ask(unhandled, dict{"o": apistest.Employer, "fra": "2026-02", "til": "2026-01"}), []string{"AA-058"}},
		{"an unknown query", ask(`{finnAlt{id}}`, nil), []string{"Field 'finnAlt' in type 'Query' is undefined", "ValidationError"}},
		{"an unknown field", ask(`{finnArbeidsforholdoversikterPrOpplysningspliktig(opplysningspliktigId:"`+apistest.Employer+`",ansattFraMaaned:"2026-01"){arbeidsforholdoversikter{lonn}}}`, nil), []string{"field 'lonn' is undefined"}},
		{"no subfields", ask(`{finnArbeidsforholdoversikterPrOpplysningspliktig(opplysningspliktigId:"`+apistest.Employer+`",ansattFraMaaned:"2026-01")}`, nil), []string{"subfields are missing"}},
		{"not closed", ask(`{finnAlt{id}`, nil), []string{"Invalid syntax"}},
		{"a mutation", ask(`mutation{slett{id}}`, nil), []string{"Invalid syntax"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			c := newCaller(t, fake, apistest.New(fake).NAVAaregOTP)
			resp, body := c.do(http.MethodPost, "", tt.body, "correlation-id", "mine")
			require.Equal(t, 200, resp.StatusCode, "also for a query that fails")
			require.Equal(t, "mine", resp.Header.Get("correlation-id"))
			for _, says := range tt.says {
				require.Contains(t, body, says)
			}
		})
	}
}

func TestAaregHTTP(t *testing.T) {
	fake := maskinportentest.New()
	all := apistest.New(fake)
	c := newCaller(t, fake, all.NAVAaregOTP)
	for _, tt := range []struct {
		reason, method, path, body string
		status                     int
	}{
		{"ping", "OPTIONS", "", "", 200},
		{"GET", "GET", "", "", 405},
		{"no JSON", "POST", "", "{", 400},
		{"elsewhere", "POST", "/x", "{}", 404},
	} {
		resp, _ := c.do(tt.method, tt.path, tt.body)
		require.Equal(t, tt.status, resp.StatusCode, tt.reason)
	}
	for name, classification := range map[string]string{"AA-101": "ExecutionAborted", "AA-102": "ExecutionAborted", "AA-201": "ExecutionAborted", "AA-051": "ValidationError"} {
		all.NAVAaregOTP.FailNext(1, apistest.Fault{Code: name})
		resp, body := c.do("POST", "", ask(overviews, nil))
		require.Equal(t, 200, resp.StatusCode)
		require.Contains(t, body, name+": ")
		require.Contains(t, body, classification)
		require.Equal(t, name, all.NAVAaregOTP.Calls()[len(all.NAVAaregOTP.Calls())-1].Code)
		require.NotEmpty(t, resp.Header.Get("correlation-id"), "one of its own")
	}
	c.Scopes = []string{"bank:saldo"}
	resp, _ := c.do("POST", "", ask(overviews, nil))
	require.Equal(t, 403, resp.StatusCode)
}

func TestEmployments(t *testing.T) {
	fake := maskinportentest.New()
	all := apistest.New(fake)
	all.AddEmployment(
		apistest.Employment{PID: "11111111111", From: "2020-01-01", To: "2020-06-30", Fields: dict{"type": dict{"kode": "maritimtArbeidsforhold", "beskrivelse": "Maritimt"}}},
		apistest.Employment{PID: "22222222222", From: "2020-07-01"},
	)
	c := newCaller(t, fake, all.NAVAaregOTP)
	_, body := c.do("POST", "", ask(overviews, dict{"opplysningspliktigId": apistest.Employer, "ansattFraMaaned": "2020-06", "ansattTilMaaned": "2020-06"}))
	require.Contains(t, body, "11111111111")
	require.NotContains(t, body, "22222222222")
	_, body = c.do("POST", "", ask(overviews, dict{"opplysningspliktigId": apistest.Employer, "ansattFraMaaned": "2020-07"}))
	require.NotContains(t, body, "11111111111")
	require.Contains(t, body, "22222222222")
	_, body = c.do("POST", "", ask(`{finnArbeidsforholdPrArbeidstaker(opplysningspliktigId: $o, arbeidstakerId: "11111111111", ansattFraMaaned: "2020-01"){arbeidsforhold{type{kode}}}}`, dict{"o": apistest.Employer}))
	require.Contains(t, body, "maritimtArbeidsforhold")
}
