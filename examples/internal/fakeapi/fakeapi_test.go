package fakeapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

func TestInntekt(t *testing.T) {
	fake := maskinportentest.New()
	token := func(scope string, audience ...string) string {
		return fake.AccessToken(resourceserver.Claims{Scopes: []string{scope}, Audience: audience})
	}
	const period = "/inntekter?fraOgMed=2026-01&tilOgMed=2026-06"
	for _, tt := range []struct {
		reason, path, token, accept string
		status                      int
		says                        string
	}{
		{"a known person", "/otp/" + Person + period, token("skatteetaten:inntekt"), "", 200, `"kalendermaaned":"2026-06"`},
		{"an unknown person", "/otp/" + UnknownPerson + period, token("skatteetaten:inntekt"), "", 404, `"kode":"IM-007"`},
		{"the same in XML", "/otp/" + UnknownPerson + period, token("skatteetaten:inntekt"), "application/xml", 404, "<kode>IM-007</kode>"},
		{"no token", "/otp/" + Person + period, "", "", 401, `"kode":"IM-004"`},
		{"another scope", "/otp/" + Person + period, token("bank:saldo"), "", 403, `"kode":"IM-005"`},
		{"a restricted token", "/otp/" + Person + period, token("skatteetaten:inntekt", "https://api.example"), "", 401, `"kode":"IM-004"`},
		{"another rettighetspakke", "/afp/" + Person + period, token("skatteetaten:inntekt"), "", 403, `"kode":"IM-005"`},
		{"no person", "/otp/1234" + period, token("skatteetaten:inntekt"), "", 400, `"kode":"IM-006"`},
		{"no period", "/otp/" + Person + "/inntekter", token("skatteetaten:inntekt"), "", 400, `"kode":"IM-006"`},
		{"no such thing", "/otp", token("skatteetaten:inntekt"), "", 404, `"kode":"IM-003"`},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.path, nil)
			r.Header.Set("Accept", tt.accept)
			if tt.token != "" {
				r.Header.Set("Authorization", "Bearer "+tt.token)
			}
			w := httptest.NewRecorder()
			Inntekt(fake).ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
			require.Contains(t, w.Body.String(), tt.says)
			if tt.status != 200 {
				require.Contains(t, w.Body.String(), "korrelasjonsid")
			}
		})
	}
}

func TestAareg(t *testing.T) {
	fake := maskinportentest.New()
	token := fake.AccessToken(resourceserver.Claims{Scopes: []string{"nav:aareg/v1/arbeidsforhold/otp"}})
	for _, tt := range []struct {
		reason, token, body string
		status              int
		says                string
	}{
		{"an employer", token, `{"query":"` + query + `","variables":{"opplysningspliktigId":"` + Employer + `","ansattFraMaaned":"2026-01"}}`, 200, `"arbeidsforholdoversikter":[{`},
		{"not an organisation", token, `{"query":"` + query + `","variables":{"opplysningspliktigId":"123456789","ansattFraMaaned":"2026-01"}}`, 200, "AA-051"},
		{"no month", token, `{"query":"` + query + `","variables":{"opplysningspliktigId":"` + Employer + `"}}`, 200, "AA-053"},
		{"backwards", token, `{"query":"` + query + `","variables":{"opplysningspliktigId":"` + Employer + `","ansattFraMaaned":"2026-02","ansattTilMaaned":"2026-01"}}`, 200, "AA-055"},
		{"no token", "x", `{}`, 401, "Unauthorized"},
		{"no JSON", token, `{`, 400, "Bad Request"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set("Authorization", "Bearer "+tt.token)
			r.Header.Set("correlation-id", "mine")
			w := httptest.NewRecorder()
			Aareg(fake).ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
			require.Contains(t, w.Body.String(), tt.says)
			if tt.status == 200 {
				require.Equal(t, "mine", w.Header().Get("correlation-id"))
			}
		})
	}
}

// Without any configuration the examples run against the fakes, whatever half
// a configuration there is.
func TestStart(t *testing.T) {
	t.Setenv("MASKINPORTEN_CLIENT_ID", "")
	t.Setenv("MASKINPORTEN_ENV", "prod")
	for _, name := range []string{"ISSUER", "TOKEN_ENDPOINT", "JWKS_URI", "KEYSTORE_PATH", "KEYSTORE_PASSWORD", "SCOPES"} {
		t.Setenv("MASKINPORTEN_"+name, "") // put back afterwards
	}
	api, stop := Start(apis.SkatteetatenInntekt)
	defer stop()
	cfg, err := maskinporten.ConfigFromEnv()
	require.NoError(t, err)
	client, err := maskinporten.New(cfg)
	require.NoError(t, err)
	inntekt, err := api.HTTPClient(client, "")
	require.NoError(t, err)
	resp, err := inntekt.Get(api.BaseURL(cfg.Environment) + "/otp/" + Person + "/inntekter?fraOgMed=2026-01&tilOgMed=2026-06")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode, "%s", body)

	_, err = client.Token(t.Context(), maskinporten.Request{Scope: api.Scope, ConsumerOrg: NotDelegated})
	require.ErrorIs(t, err, maskinporten.ErrNotDelegated)
}
