package fakeapi

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// Inntekt is Skatteetaten's Inntekt API, below its base URL
// (https://skatteetaten.github.io/api-dokumentasjon/api/inntekt).
func Inntekt(fake *maskinportentest.Fake) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{pakke}/{pid}/inntekter", func(w http.ResponseWriter, r *http.Request) {
		claims, denied := fake.Check(r, apis.SkatteetatenInntekt.Scope)
		from, errFrom := time.Parse("2006-01", r.URL.Query().Get("fraOgMed"))
		to, errTo := time.Parse("2006-01", r.URL.Query().Get("tilOgMed"))
		switch pid := r.PathValue("pid"); {
		case denied != nil && denied.Status == http.StatusForbidden:
			w.Header().Set("WWW-Authenticate", denied.Challenge)
			fail(w, r, http.StatusForbidden, "IM-005", "Virksomheten mangler tilgang til tjenesten")
		case denied != nil:
			w.Header().Set("WWW-Authenticate", denied.Challenge)
			fail(w, r, http.StatusUnauthorized, "IM-004", "Feil i forbindelse med autentisering")
		case !slices.Equal(claims.Audience, []string{"unspecified"}):
			fail(w, r, http.StatusUnauthorized, "IM-004", "Tokenet er ment for en annen mottaker")
		case r.PathValue("pakke") != "otp":
			fail(w, r, http.StatusForbidden, "IM-005", "Virksomheten har ikke tilgang til rettighetspakken")
		case !digits(pid, 11):
			fail(w, r, http.StatusBadRequest, "IM-006", "Personidentifikator er ikke gyldig")
		case errFrom != nil || errTo != nil || to.Before(from):
			fail(w, r, http.StatusBadRequest, "IM-006", "fraOgMed og tilOgMed må være en periode på formen YYYY-MM")
		case pid == UnknownPerson:
			fail(w, r, http.StatusNotFound, "IM-007", "Ikke treff på oppgitt personidentifikator")
		default:
			writeJSON(w, http.StatusOK, map[string]any{"oppgaveInntektsmottaker": months(pid, from, to)})
		}
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, r, http.StatusNotFound, "IM-003", "Ukjent url benyttet")
	})
	return mux
}

func months(pid string, from, to time.Time) []any {
	all := []any{}
	for month := from; !month.After(to) && len(all) < 12; month = month.AddDate(0, 1, 0) {
		all = append(all, map[string]any{
			"opplysningspliktigId": Employer,
			"virksomhetId":         Employer,
			"kalendermaaned":       month.Format("2006-01"),
			"inntektsmottaker":     map[string]any{"personidentifikator": pid},
			"inntekt": []any{map[string]any{
				"fordel":                     "kontantytelse",
				"utloeserArbeidsgiveravgift": true,
				"inngaarIGrunnlagForTrekk":   true,
				"beloep":                     50000,
				"loennsinntekt":              map[string]any{"beskrivelse": "fastloenn"},
			}},
		})
	}
	return all
}

// fail answers with an error in Skatteetaten's shape
// (https://skatteetaten.github.io/api-dokumentasjon/om/feil): JSON, or XML for
// who asks for it.
func fail(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	feil := struct {
		XMLName       xml.Name `json:"-" xml:"urn:no:skatteetaten:datasamarbeid:feil:v1 feil"`
		Code          string   `json:"kode" xml:"kode"`
		Message       string   `json:"melding" xml:"melding"`
		CorrelationID string   `json:"korrelasjonsid" xml:"korrelasjonsid"`
	}{Code: code, Message: message, CorrelationID: correlationID()}
	if !strings.Contains(r.Header.Get("Accept"), "application/xml") {
		writeJSON(w, status, feil)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if text, err := xml.Marshal(feil); err == nil {
		w.Write(text)
	}
}
