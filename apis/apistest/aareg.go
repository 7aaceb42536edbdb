package apistest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/apis"
)

// Codes that NAV documents. All come back as HTTP 200, with a list of errors.
var aaregCodes = codeTable{
	"AA-051": {200, `Ugyldig verdi for "opplysningspliktigId"`},
	"AA-052": {200, `Ugyldig verdi for "arbeidstakerId"`},
	"AA-053": {200, `Ugyldig verdi for "ansattFraMaaned"`},
	"AA-054": {200, `Ugyldig verdi for "ansattTilMaaned"`},
	"AA-055": {200, `"ansattTilMaaned" er før "ansattFraMaaned"`},
	"AA-056": {200, `Ugyldig verdi for "rapporteringFraMaaned"`},
	"AA-057": {200, `Ugyldig verdi for "rapporteringTilMaaned"`},
	"AA-058": {200, `"rapporteringTilMaaned" er før "rapporteringFraMaaned"`},
	"AA-101": {200, "Mangler tilgang for en eller flere perioder"},
	"AA-102": {200, "Ingen tilgang grunnet skjerming"},
	"AA-201": {200, "En ukjent feil oppstod"},
}

type graphQLError struct{ code, message string }

func (c *call) isNAV() bool { return c.api.known.Scope == apis.NAVAaregOTP.Scope }

// graphQLErrors is a query that failed. Errors without a code are GraphQL's own.
func (c *call) graphQLErrors(errors ...graphQLError) *answer {
	var list []any
	for _, e := range errors {
		message, classification := e.message, "ValidationError"
		if e.code != "" {
			message = e.code + ": " + e.message
		}
		if e.code > "AA-100" {
			classification = "ExecutionAborted"
		}
		list = append(list, map[string]any{
			"message":    message,
			"locations":  []any{},
			"extensions": map[string]any{"classification": classification},
		})
	}
	out := c.graphQL(map[string]any{"data": nil, "errors": list})
	out.code = errors[0].code
	return out
}

func (c *call) graphQL(v map[string]any) *answer {
	return &answer{
		status: http.StatusOK,
		header: http.Header{"Content-Type": {"application/json"}, "Correlation-Id": {c.id}},
		body:   marshal(v),
	}
}

// aareg is https://navikt.github.io/aareg/tjenester/integrasjon/otp-api: one
// query of those below in each call. OPTIONS is its ping.
func (a *APIs) aareg(c *call) *answer {
	plain := func(status int) *answer {
		return &answer{status: status, header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, body: []byte(http.StatusText(status) + "\n")}
	}
	switch {
	case c.URL.Path != "":
		return plain(http.StatusNotFound)
	case c.Method == http.MethodOptions:
		return plain(http.StatusOK)
	case c.Method != http.MethodPost:
		out := plain(http.StatusMethodNotAllowed)
		out.header.Set("Allow", "POST, OPTIONS")
		return out
	}
	var asked struct {
		Query     string         `json:"query"`
		Variables map[string]any `json:"variables"`
	}
	if json.Unmarshal(c.body, &asked) != nil {
		return plain(http.StatusBadRequest)
	}
	fields, err := parseQuery(asked.Query, asked.Variables)
	if err != nil {
		return c.graphQLErrors(graphQLError{"", "Invalid syntax: " + err.Error()})
	}
	data := make(map[string]any)
	for _, f := range fields {
		result, errors := a.resolve(f)
		if errors != nil {
			return c.graphQLErrors(errors...)
		}
		selected, err := project(result, f.fields)
		if err != nil {
			return c.graphQLErrors(graphQLError{"", "Validation error of type FieldUndefined: " + err.Error()})
		}
		data[f.alias] = selected
	}
	return c.graphQL(map[string]any{"data": data})
}

// resolve answers one of the queries. Of persons whose reports could not be
// handled the fake knows none.
func (a *APIs) resolve(f field) (any, []graphQLError) {
	arg := func(name string) string { s, _ := f.arguments[name].(string); return s }
	var bad []graphQLError
	refuse := func(code string) { bad = append(bad, graphQLError{code, aaregCodes[code].message}) }
	if !organisation(arg("opplysningspliktigId")) {
		refuse("AA-051")
	}
	onePerson := strings.HasSuffix(f.name, "PrArbeidstaker")
	if onePerson && !digits(arg("arbeidstakerId"), 11) {
		refuse("AA-052")
	}
	period := func(fromName, toName string, codes [3]string) (from, to time.Time) {
		from, okFrom := parseMonth(arg(fromName))
		if !okFrom {
			refuse(codes[0])
		}
		to, okTo := parseMonth(arg(toName))
		if arg(toName) == "" {
			to, okTo = parseMonth(time.Now().Format(monthLayout))
		}
		switch {
		case !okTo:
			refuse(codes[1])
		case okFrom && to.Before(from):
			refuse(codes[2])
		}
		return from, to
	}
	switch f.name {
	case "finnArbeidsforholdoversikterPrOpplysningspliktig", "finnArbeidsforholdPrArbeidstaker":
		from, to := period("ansattFraMaaned", "ansattTilMaaned", [3]string{"AA-053", "AA-054", "AA-055"})
		if bad != nil {
			return nil, bad
		}
		list := []any{}
		for _, e := range a.data.employmentsAt(arg("opplysningspliktigId"), arg("arbeidstakerId"), from, to) {
			if onePerson {
				list = append(list, e.object())
			} else {
				list = append(list, e.overview())
			}
		}
		if onePerson {
			return map[string]any{"arbeidsforhold": list}, nil
		}
		return map[string]any{"arbeidsforholdoversikter": list}, nil
	case "finnUbehandledeArbeidstakerePrOpplysningspliktig", "finnUbehandledeArbeidsforholdPrArbeidstaker":
		period("rapporteringFraMaaned", "rapporteringTilMaaned", [3]string{"AA-056", "AA-057", "AA-058"})
		if bad != nil {
			return nil, bad
		}
		if onePerson {
			return map[string]any{"ubehandledeArbeidsforhold": []any{}}, nil
		}
		return map[string]any{"ubehandledeArbeidstakere": []any{}}, nil
	}
	return nil, []graphQLError{{"", "Validation error of type FieldUndefined: Field '" + f.name + "' in type 'Query' is undefined"}}
}

// object is an employment as the API gives it.
func (e Employment) object() map[string]any {
	var end any
	if e.To != "" {
		end = e.To
	}
	coded := func(code, description string) map[string]any {
		return map[string]any{"kode": code, "beskrivelse": description}
	}
	o := map[string]any{
		"id":                 "V" + e.Employer + "R" + e.PID[:4] + "L0001",
		"uuid":               newID(),
		"type":               coded("ordinaertArbeidsforhold", "Ordinært arbeidsforhold"),
		"arbeidstaker":       map[string]any{"ident": e.PID},
		"arbeidssted":        map[string]any{"type": "Underenhet", "ident": e.Employer},
		"opplysningspliktig": map[string]any{"type": "Hovedenhet", "ident": e.Employer},
		"ansettelsesperiode": map[string]any{"startdato": e.From, "sluttdato": end, "sluttaarsak": nil, "varsling": nil},
		"ansettelsesdetaljer": []any{map[string]any{
			"type":                         "Ordinaer",
			"arbeidstidsordning":           coded("ikkeSkift", "Ikke skift"),
			"ansettelsesform":              coded("fast", "Fast ansettelse"),
			"yrke":                         coded("1228103", "SJEFSYKEPLEIER"),
			"antallTimerPrUke":             37.5,
			"avtaltStillingsprosent":       100.0,
			"sisteStillingsprosentendring": nil,
			"sisteLoennsendring":           nil,
			"rapporteringsmaaneder":        map[string]any{"fra": e.From[:7], "til": nil},
		}},
		"permisjoner": []any{}, "permitteringer": []any{}, "timerMedTimeloenn": []any{},
		"idHistorikk": []any{}, "varsler": []any{},
		"opprettet":     e.From + "T16:21:27.213",
		"sistBekreftet": "2026-04-02T16:34:58",
		"sistEndret":    "2026-04-02T16:34:58",
	}
	return merged(o, e.Fields)
}

// overview is the little of an employment that a list of them holds.
func (e Employment) overview() map[string]any {
	all := e.object()
	o := map[string]any{"yrke": map[string]any{"kode": "1228103", "beskrivelse": "SJEFSYKEPLEIER"}}
	for _, name := range []string{"id", "arbeidstaker", "idHistorikk", "sistEndret"} {
		o[name] = all[name]
	}
	return merged(o, e.Fields)
}
