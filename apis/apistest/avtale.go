package apistest

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
)

// tjenestepensjonsavtale is
// https://skatteetaten.github.io/api-dokumentasjon/api/tjenestepensjonsavtale.
// The provider of an agreement is the token's consumer.
func (a *APIs) tjenestepensjonsavtale(c *call) *answer {
	pack, rest, _ := strings.Cut(strings.TrimPrefix(c.URL.Path, "/"), "/")
	var do func(*call) *answer
	switch {
	case rest == "avtaleforhold" && c.Method == http.MethodPost:
		do = a.registerAgreement
	case rest == "avtaleforhold" && c.Method == http.MethodDelete:
		do = a.deleteAgreement
	case rest == "avtaleforhold/gyldighet" && c.Method == http.MethodGet:
		// Months in which there is an agreement.
		do = func(c *call) *answer { return a.validity(c, "maanederUtenGyldigAvtaleforhold", 0, 0) }
	case rest == "avtaleforhold/virkningsperiode/gyldighet" && c.Method == http.MethodGet:
		// Each of them reaches fifteen months back and one ahead.
		do = func(c *call) *answer { return a.validity(c, "maanederUtenforGyldigVirkningsperiode", 15, 1) }
	default:
		return c.fail("OTP-003", "")
	}
	if bad := c.common("OTP-008"); bad != nil {
		return bad
	}
	if pack != "otp" {
		return c.fail("OTP-005", "Virksomheten har ikke tilgang til rettighetspakken")
	}
	return do(c)
}

func (a *APIs) validity(c *call, missing string, back, ahead int) *answer {
	q := c.URL.Query()
	from, to, ok := c.period()
	switch {
	case !organisation(q.Get("opplysningspliktig")):
		return c.fail("OTP-006", "opplysningspliktig må være et organisasjonsnummer")
	case !organisation(q.Get("pensjonsinnretning")):
		return c.fail("OTP-006", "pensjonsinnretning må være et organisasjonsnummer")
	case !ok:
		return c.fail("OTP-006", badPeriod)
	}
	uncovered := a.data.uncovered(q.Get("pensjonsinnretning"), q.Get("opplysningspliktig"), from, to, back, ahead)
	if len(uncovered) == 0 {
		return c.ok("gyldighet", map[string]any{"gyldig": true})
	}
	var months []any
	for _, m := range uncovered {
		months = append(months, m)
	}
	return c.ok("gyldighet", map[string]any{"gyldig": false, missing: map[string]any{"maaned": months}})
}

// document is what is posted and deleted, in JSON or XML.
type document struct {
	Reference string `json:"avtalereferanse" xml:"avtalereferanse"`
	From      string `json:"fraOgMed" xml:"fraOgMed"`
	To        string `json:"tilOgMed" xml:"tilOgMed"`
	Employer  struct {
		Number string `json:"norskIdentifikator" xml:"norskIdentifikator"`
	} `json:"opplysningspliktig" xml:"opplysningspliktig"`
}

func (c *call) document() (d document, bad *answer) {
	var err error
	switch kind := c.Header.Get("Content-Type"); {
	case strings.HasPrefix(kind, "application/json"):
		err = json.Unmarshal(c.body, &d)
	case strings.HasPrefix(kind, "application/xml"):
		err = xml.Unmarshal(c.body, &d)
	default:
		return d, c.fail("OTP-008", "")
	}
	switch {
	case err != nil:
		return d, c.fail("OTP-006", "Dokumentet kan ikke leses")
	case d.Reference == "":
		return d, c.fail("OTP-006", "avtalereferanse mangler")
	case !organisation(d.Employer.Number):
		return d, c.fail("OTP-006", "opplysningspliktig må være et organisasjonsnummer")
	}
	return d, nil
}

func (a *APIs) registerAgreement(c *call) *answer {
	d, bad := c.document()
	if bad != nil {
		return bad
	}
	from, ok := parseMonth(d.From)
	to, closed := parseMonth(d.To)
	if !ok || d.To != "" && (!closed || to.Before(from)) {
		return c.fail("OTP-006", badPeriod)
	}
	a.data.mu.Lock()
	defer a.data.mu.Unlock()
	a.data.putAgreement(Agreement{Provider: c.token.consumer, Employer: d.Employer.Number, Reference: d.Reference, From: d.From, To: d.To})
	return &answer{status: http.StatusOK, header: http.Header{}}
}

func (a *APIs) deleteAgreement(c *call) *answer {
	d, bad := c.document()
	if bad != nil {
		return bad
	}
	a.data.mu.Lock()
	defer a.data.mu.Unlock()
	if !a.data.removeAgreement(Agreement{Provider: c.token.consumer, Employer: d.Employer.Number, Reference: d.Reference}) {
		return c.fail("OTP-007", "")
	}
	return &answer{status: http.StatusOK, header: http.Header{}}
}
