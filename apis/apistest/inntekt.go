package apistest

import (
	"net/http"
	"strings"
)

// inntekt is https://skatteetaten.github.io/api-dokumentasjon/api/inntekt:
// GET /{rettighetspakke}/{personidentifikator}/inntekter.
func (a *APIs) inntekt(c *call) *answer {
	path := strings.Split(c.URL.Path, "/")
	if len(path) != 4 || path[3] != "inntekter" || c.Method != http.MethodGet {
		return c.fail("IM-003", "")
	}
	if bad := c.common("IM-009"); bad != nil {
		return bad
	}
	pid := path[2]
	from, to, ok := c.period()
	switch {
	case path[1] != "otp":
		return c.fail("IM-005", "Virksomheten har ikke tilgang til rettighetspakken")
	case !digits(pid, 11):
		return c.fail("IM-006", "Personidentifikator er ikke gyldig")
	case !ok:
		return c.fail("IM-006", badPeriod)
	}
	incomes, known, deleted := a.data.incomesOf(pid, from, to)
	switch {
	case deleted:
		out := c.fail("IM-008", "Informasjonen er slettet")
		out.status = http.StatusGone
		return out
	case !known:
		return c.fail("IM-007", "")
	case len(incomes) == 0:
		return c.fail("IM-008", "")
	}
	var list []any
	for _, i := range incomes {
		list = append(list, i.object())
	}
	return c.ok("oppgaver", map[string]any{"oppgaveInntektsmottaker": list})
}

// object is an income as the API gives it.
func (i Income) object() map[string]any {
	o := map[string]any{
		"opplysningspliktigId": i.Employer,
		"virksomhetId":         i.Employer,
		"kalendermaaned":       i.Month,
		"inntektsmottaker":     map[string]any{"personidentifikator": i.PID},
		"inntekt": []any{map[string]any{
			"fordel":                     "kontantytelse",
			"utloeserArbeidsgiveravgift": true,
			"inngaarIGrunnlagForTrekk":   true,
			"beloep":                     i.Amount,
			"loennsinntekt":              map[string]any{"beskrivelse": "fastloenn"},
		}},
	}
	return merged(o, i.Fields)
}

// inntektsmottakere is https://skatteetaten.github.io/api-dokumentasjon/api/inntektsmottakere:
// GET /{rettighetspakke}/{opplysningspliktig}/inntektsmottakere. The pages say
// what it answers, and only its specification what its path is; the last element
// may be left out here.
func (a *APIs) inntektsmottakere(c *call) *answer {
	path := strings.Split(strings.TrimSuffix(c.URL.Path, "/inntektsmottakere"), "/")
	if len(path) != 3 || c.Method != http.MethodGet {
		return c.fail("IM-003", "")
	}
	if bad := c.common("IM-008"); bad != nil {
		return bad
	}
	employer := path[2]
	from, to, ok := c.period()
	switch {
	case path[1] != "otp":
		return c.fail("IM-005", "Virksomheten har ikke tilgang til rettighetspakken")
	case !organisation(employer):
		return c.fail("IM-006", "Opplysningspliktig er ikke et gyldig organisasjonsnummer")
	case !ok:
		return c.fail("IM-006", badPeriod)
	}
	pids := a.data.recipientsOf(employer, from, to)
	if len(pids) == 0 {
		return c.fail("IM-007", "")
	}
	var list []any
	for _, pid := range pids {
		list = append(list, map[string]any{"personidentifikator": pid})
	}
	return c.ok("inntektsmottakere", map[string]any{
		"opplysningspliktig": map[string]any{"norskIdentifikator": employer},
		"fraOgMed":           from.Format(monthLayout),
		"tilOgMed":           to.Format(monthLayout),
		"inntektsmottaker":   list,
	})
}

// organisation reports whether s is an organisation number, as it is written in
// calls: nine digits that pass the modulus 11 check.
func organisation(s string) bool {
	if !digits(s, 9) {
		return false
	}
	sum := 0
	for i, weight := range [...]int{3, 2, 7, 6, 5, 4, 3, 2} {
		sum += weight * int(s[i]-'0')
	}
	return (11-sum%11)%11 == int(s[8]-'0')
}
