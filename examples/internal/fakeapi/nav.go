package fakeapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// Aareg is NAV's OTP API of Aa-registeret
// (https://navikt.github.io/aareg/tjenester/integrasjon/otp-api/): GraphQL, with
// one of its queries. A query that fails comes back as 200 with errors.
func Aareg(fake *maskinportentest.Fake) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, denied := fake.Check(r, apis.NAVAaregOTP.Scope); denied != nil {
			w.Header().Set("WWW-Authenticate", denied.Challenge)
			http.Error(w, http.StatusText(denied.Status), denied.Status)
			return
		}
		if r.Method != http.MethodPost {
			http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
			return
		}
		var asked struct {
			Query     string `json:"query"`
			Variables struct {
				Employer string `json:"opplysningspliktigId"`
				From     string `json:"ansattFraMaaned"`
				To       string `json:"ansattTilMaaned"`
			} `json:"variables"`
		}
		if json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&asked) != nil {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		id := r.Header.Get("correlation-id")
		if id == "" {
			id = correlationID()
		}
		w.Header().Set("correlation-id", id)
		v := asked.Variables
		_, err := maskinporten.ParseOrgNumber(v.Employer)
		from, errFrom := time.Parse("2006-01", v.From)
		to, errTo := from, error(nil)
		if v.To != "" {
			to, errTo = time.Parse("2006-01", v.To)
		}
		switch {
		case !strings.Contains(asked.Query, query):
			graphQLError(w, "Validation error: the fake knows "+query+" only")
		case err != nil:
			graphQLError(w, `AA-051: Ugyldig verdi for "opplysningspliktigId"`)
		case errFrom != nil:
			graphQLError(w, `AA-053: Ugyldig verdi for "ansattFraMaaned"`)
		case errTo != nil:
			graphQLError(w, `AA-054: Ugyldig verdi for "ansattTilMaaned"`)
		case to.Before(from):
			graphQLError(w, `AA-055: "ansattTilMaaned" er før "ansattFraMaaned"`)
		default:
			writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{query: map[string]any{
				"arbeidsforholdoversikter": []any{map[string]any{
					"id":           "V911050676R16054L0001",
					"arbeidstaker": map[string]any{"ident": Person},
					"yrke":         map[string]any{"kode": "1228103", "beskrivelse": "SJEFSYKEPLEIER"},
					"idHistorikk":  []any{},
					"sistEndret":   "2026-04-02T16:34:58",
				}},
			}}})
		}
	})
}

const query = "finnArbeidsforholdoversikterPrOpplysningspliktig"

func graphQLError(w http.ResponseWriter, message string) {
	writeJSON(w, http.StatusOK, map[string]any{
		"data": nil,
		"errors": []any{map[string]any{
			"message":    message,
			"locations":  []any{},
			"extensions": map[string]any{"classification": "ValidationError"},
		}},
	})
}
