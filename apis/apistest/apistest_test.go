package apistest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/apis/apistest"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

type dict = map[string]any

const otherOrg = "974760673"

// caller calls one API with a token of its own making.
type caller struct {
	t    *testing.T
	fake *maskinportentest.Fake
	api  *apistest.API
	resourceserver.Claims
}

func newCaller(t *testing.T, fake *maskinportentest.Fake, api *apistest.API) *caller {
	return &caller{t, fake, api, resourceserver.Claims{Scopes: []string{api.API().Scope}}}
}

func (c *caller) do(method, path, body string, header ...string) (*http.Response, string) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.api.URL()+path, strings.NewReader(body))
	require.NoError(c.t, err)
	if c.Scopes != nil {
		req.Header.Set("Authorization", "Bearer "+c.fake.AccessToken(c.Claims))
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.fake.HTTPClient().Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp, string(answer)
}

func TestSkatteetaten(t *testing.T) {
	const period = "?fraOgMed=2026-01&tilOgMed=2026-06"
	inntekt := func(a *apistest.APIs) *apistest.API { return a.Inntekt }
	mottakere := func(a *apistest.APIs) *apistest.API { return a.Inntektsmottakere }
	avtale := func(a *apistest.APIs) *apistest.API { return a.Tjenestepensjonsavtale }
	json, xml := []string{"Content-Type", "application/json"}, []string{"Content-Type", "application/xml"}
	const validity = "&opplysningspliktig=" + apistest.Employer + "&pensjonsinnretning=" + maskinportentest.DefaultOrgNumber
	for _, tt := range []struct {
		reason string
		api    func(*apistest.APIs) *apistest.API
		claims resourceserver.Claims
		method string
		path   string
		body   string
		header []string
		status int
		says   string
	}{
		{reason: "a known person", api: inntekt, path: "/otp/" + apistest.Person + "/inntekter" + period, status: 200, says: `"kalendermaaned":"2026-06"`},
		{reason: "the same in XML", api: inntekt, path: "/otp/" + apistest.Person + "/inntekter" + period, header: []string{"Accept", "application/xml"}, status: 200, says: "<kalendermaaned>2026-06</kalendermaaned>"},
		{reason: "no end means this month", api: inntekt, path: "/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-01", status: 200, says: `"2026-01"`},
		{reason: "an unknown person", api: inntekt, path: "/otp/" + apistest.UnknownPerson + "/inntekter" + period, status: 404, says: `"kode":"IM-007"`},
		{reason: "an error in XML", api: inntekt, path: "/otp/" + apistest.UnknownPerson + "/inntekter" + period, header: []string{"Accept", "application/xml"}, status: 404, says: `<feil xmlns="urn:no:skatteetaten:datasamarbeid:feil:v1"><kode>IM-007</kode>`},
		{reason: "a deleted person", api: inntekt, path: "/otp/11111111111/inntekter" + period, status: 410, says: "slettet"},
		{reason: "another scope", api: inntekt, claims: resourceserver.Claims{Scopes: []string{"bank:saldo"}}, path: "/otp/" + apistest.Person + "/inntekter" + period, status: 403, says: "IM-005"},
		{reason: "a restricted token", api: inntekt, claims: resourceserver.Claims{Scopes: []string{"skatteetaten:inntekt"}, Audience: []string{"https://api.example"}}, path: "/otp/" + apistest.Person + "/inntekter" + period, status: 401, says: "IM-004"},
		{reason: "another rettighetspakke", api: inntekt, path: "/afp/" + apistest.Person + "/inntekter" + period, status: 403, says: "IM-005"},
		{reason: "no person", api: inntekt, path: "/otp/1234/inntekter" + period, status: 400, says: "IM-006"},
		{reason: "no period", api: inntekt, path: "/otp/" + apistest.Person + "/inntekter", status: 400, says: "IM-006"},
		{reason: "backwards", api: inntekt, path: "/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-02&tilOgMed=2026-01", status: 400, says: "IM-006"},
		{reason: "neither JSON nor XML", api: inntekt, path: "/otp/" + apistest.Person + "/inntekter" + period, header: []string{"Accept", "text/csv"}, status: 406, says: "IM-009"},
		{reason: "no such thing", api: inntekt, path: "/otp", status: 404, says: "IM-003"},
		{reason: "POST", api: inntekt, method: "POST", path: "/otp/" + apistest.Person + "/inntekter" + period, status: 404, says: "IM-003"},

		{reason: "an employer", api: mottakere, path: "/otp/" + apistest.Employer + "/inntektsmottakere" + period, status: 200, says: `"inntektsmottaker":[{"personidentifikator":"` + apistest.Person + `"}]`},
		{reason: "an employer, without the last element", api: mottakere, path: "/otp/" + apistest.Employer + period, status: 200, says: `"norskIdentifikator":"` + apistest.Employer},
		{reason: "no organisation", api: mottakere, path: "/otp/123456789/inntektsmottakere" + period, status: 400, says: "IM-006"},
		{reason: "neither JSON nor XML", api: mottakere, path: "/otp/" + apistest.Employer + "/inntektsmottakere" + period, header: []string{"Accept", "text/csv"}, status: 406, says: "IM-008"},
		{reason: "another rettighetspakke", api: mottakere, path: "/nav/" + apistest.Employer + "/inntektsmottakere" + period, status: 403, says: "IM-005"},

		{reason: "register", api: avtale, method: "POST", path: "/otp/avtaleforhold", body: `{"avtalereferanse":"A1","fraOgMed":"2026-01","opplysningspliktig":{"norskIdentifikator":"` + apistest.Employer + `"}}`, header: json, status: 200},
		{reason: "register in XML", api: avtale, method: "POST", path: "/otp/avtaleforhold", body: `<avtaleforhold><avtalereferanse>A2</avtalereferanse><fraOgMed>2026-01</fraOgMed><opplysningspliktig><norskIdentifikator>` + apistest.Employer + `</norskIdentifikator></opplysningspliktig></avtaleforhold>`, header: xml, status: 200},
		{reason: "delete, with a body", api: avtale, method: "DELETE", path: "/otp/avtaleforhold", body: `{"avtalereferanse":"A0","opplysningspliktig":{"norskIdentifikator":"` + apistest.Employer + `"}}`, header: json, status: 200},
		{reason: "delete what is not there", api: avtale, method: "DELETE", path: "/otp/avtaleforhold", body: `{"avtalereferanse":"B","opplysningspliktig":{"norskIdentifikator":"` + apistest.Employer + `"}}`, header: json, status: 404, says: "OTP-007"},
		{reason: "no reference", api: avtale, method: "POST", path: "/otp/avtaleforhold", body: `{"fraOgMed":"2026-01"}`, header: json, status: 400, says: "OTP-006"},
		{reason: "no month", api: avtale, method: "POST", path: "/otp/avtaleforhold", body: `{"avtalereferanse":"A1","fraOgMed":"2026","opplysningspliktig":{"norskIdentifikator":"` + apistest.Employer + `"}}`, header: json, status: 400, says: "OTP-006"},
		{reason: "no document", api: avtale, method: "POST", path: "/otp/avtaleforhold", body: `{`, header: json, status: 400, says: "OTP-006"},
		{reason: "a form", api: avtale, method: "POST", path: "/otp/avtaleforhold", header: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 406, says: "OTP-008"},
		{reason: "valid months", api: avtale, path: "/otp/avtaleforhold/gyldighet?fraOgMed=2025-01&tilOgMed=2025-03" + validity, status: 200, says: `{"gyldig":true}`},
		{reason: "months without", api: avtale, path: "/otp/avtaleforhold/gyldighet?fraOgMed=2024-12&tilOgMed=2025-01" + validity, status: 200, says: `{"gyldig":false,"maanederUtenGyldigAvtaleforhold":{"maaned":["2024-12"]}}`},
		{reason: "fifteen months back and one ahead", api: avtale, path: "/otp/avtaleforhold/virkningsperiode/gyldighet?fraOgMed=2023-09&tilOgMed=2025-05" + validity, status: 200, says: `"maaned":["2023-09","2025-05"]`},
		{reason: "no provider", api: avtale, path: "/otp/avtaleforhold/gyldighet?fraOgMed=2025-01&opplysningspliktig=" + apistest.Employer, status: 400, says: "pensjonsinnretning"},
		{reason: "another scope", api: avtale, claims: resourceserver.Claims{Scopes: []string{"bank:saldo"}}, path: "/otp/avtaleforhold/gyldighet", status: 403, says: "OTP-005"},
		{reason: "unknown path", api: avtale, path: "/otp/avtale", status: 404, says: "OTP-003"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			fake := maskinportentest.New()
			all := apistest.New(fake)
			all.DeleteIncome("11111111111")
			all.AddAgreement(
				apistest.Agreement{Provider: maskinportentest.DefaultOrgNumber, Reference: "A0", From: "2025-01", To: "2025-03"},
			)
			c := newCaller(t, fake, tt.api(all))
			if tt.claims.Scopes != nil {
				c.Claims = tt.claims
			}
			if tt.method == "" {
				tt.method = http.MethodGet
			}
			resp, body := c.do(tt.method, tt.path, tt.body, tt.header...)
			require.Equal(t, tt.status, resp.StatusCode, body)
			require.Contains(t, body, tt.says)
			if tt.status != 200 {
				require.Contains(t, body, "korrelasjonsid")
			}
			calls := tt.api(all).Calls()
			require.Len(t, calls, 1)
			require.Equal(t, tt.status, calls[0].Status)
			require.NotEmpty(t, calls[0].CorrelationID)
		})
	}
}

// No token, in Skatteetaten's words and in NAV's.
func TestNoToken(t *testing.T) {
	fake := maskinportentest.New()
	for i, api := range apistest.New(fake).All() {
		c := newCaller(t, fake, api)
		c.Scopes = nil
		resp, body := c.do(http.MethodGet, []string{"/otp/x/inntekter", "/otp/x", "/otp/avtaleforhold/gyldighet", ""}[i], "")
		require.Equal(t, 401, resp.StatusCode)
		require.Contains(t, resp.Header.Get("WWW-Authenticate"), "Bearer")
		require.Contains(t, body, []string{"IM-004", "IM-004", "OTP-004", "Unauthorized"}[i])
	}
}

func TestData(t *testing.T) {
	fake := maskinportentest.New()
	all := apistest.New(fake)
	all.AddIncome(
		apistest.Income{Month: "2026-02", Amount: 5_000_000},
		apistest.Income{PID: "11111111111", Month: "2026-03", Employer: otherOrg, Fields: dict{"virksomhetId": "998877665", "merknad": []string{"a", "b"}}},
	)
	inntekt := newCaller(t, fake, all.Inntekt)
	_, body := inntekt.do("GET", "/otp/"+apistest.Person+"/inntekter?fraOgMed=2026-01&tilOgMed=2026-12", "")
	require.Equal(t, 1, strings.Count(body, "kalendermaaned"))
	_, body = inntekt.do("GET", "/otp/"+apistest.Person+"/inntekter?fraOgMed=2026-01&tilOgMed=2026-12", "", "Accept", "application/xml")
	require.Contains(t, body, "<beloep>5000000</beloep>")
	_, body = inntekt.do("GET", "/otp/11111111111/inntekter?fraOgMed=2026-03&tilOgMed=2026-03", "", "Accept", "application/xml")
	require.Contains(t, body, "<virksomhetId>998877665</virksomhetId>")
	require.Contains(t, body, "<merknad>a</merknad><merknad>b</merknad>")
	resp, body := inntekt.do("GET", "/otp/"+apistest.Person+"/inntekter?fraOgMed=2026-05&tilOgMed=2026-12", "")
	require.Equal(t, 404, resp.StatusCode)
	require.Contains(t, body, "IM-008", "known, but no income then")
	resp, _ = inntekt.do("GET", "/otp/22222222222/inntekter?fraOgMed=2026-05&tilOgMed=2026-12", "")
	require.Equal(t, 404, resp.StatusCode)

	mottakere := newCaller(t, fake, all.Inntektsmottakere)
	_, body = mottakere.do("GET", "/otp/"+otherOrg+"/inntektsmottakere?fraOgMed=2026-01&tilOgMed=2026-12", "")
	require.Contains(t, body, `[{"personidentifikator":"11111111111"}]`)
	resp, body = mottakere.do("GET", "/otp/"+otherOrg+"/inntektsmottakere?fraOgMed=2026-01&tilOgMed=2026-02", "")
	require.Equal(t, 404, resp.StatusCode)
	require.Contains(t, body, "IM-007")
	require.Panics(t, func() { all.AddIncome(apistest.Income{Month: "januar"}) })

	avtale := newCaller(t, fake, all.Tjenestepensjonsavtale)
	avtale.do("POST", "/otp/avtaleforhold", `{"avtalereferanse":"A1","fraOgMed":"2026-01","tilOgMed":"2026-03","opplysningspliktig":{"norskIdentifikator":"`+apistest.Employer+`"}}`, "Content-Type", "application/json")
	require.Equal(t, []apistest.Agreement{{Provider: maskinportentest.DefaultOrgNumber, Employer: apistest.Employer, Reference: "A1", From: "2026-01", To: "2026-03"}}, all.Agreements())
}

// A correlation id is new for each call.
func TestCorrelationIDs(t *testing.T) {
	fake := maskinportentest.New()
	c := newCaller(t, fake, apistest.New(fake).Inntekt)
	const path = "/otp/" + apistest.UnknownPerson + "/inntekter?fraOgMed=2026-01"
	resp, body := c.do("GET", path, "", "Korrelasjonsid", "min-id")
	require.Equal(t, 404, resp.StatusCode)
	require.Contains(t, body, `"korrelasjonsid":"min-id"`)
	resp, body = c.do("GET", path, "", "Korrelasjonsid", "min-id")
	require.Equal(t, 400, resp.StatusCode)
	require.Contains(t, body, "IM-006")
}

// Five calls at a time are taken from an organisation, the sixth is turned away
// and counted; another organisation has five of its own.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		all := apistest.New(fake)
		all.Inntekt.SetLatency(time.Second)
		var wg sync.WaitGroup
		var mu sync.Mutex
		statuses := make(map[string]map[int]int)
		for org, calls := range map[string]int{maskinportentest.DefaultOrgNumber: 7, otherOrg: 5} {
			c := newCaller(t, fake, all.Inntekt)
			c.Consumer = org
			statuses[org] = make(map[int]int)
			for range calls {
				wg.Go(func() {
					resp, _ := c.do("GET", "/otp/"+apistest.Person+"/inntekter?fraOgMed=2000-01&tilOgMed=2000-01", "")
					mu.Lock()
					defer mu.Unlock()
					statuses[org][resp.StatusCode]++
					if resp.StatusCode == 429 {
						require.Equal(t, "1", resp.Header.Get("Retry-After"))
					}
				})
			}
		}
		wg.Wait()
		require.Equal(t, map[int]int{200: 5, 429: 2}, statuses[maskinportentest.DefaultOrgNumber])
		require.Equal(t, map[int]int{200: 5}, statuses[otherOrg])
		require.Equal(t, apistest.Stats{Calls: 12, OverLimit: 2, MaxConcurrent: 5}, all.Inntekt.Stats())
	})
}

// The library's own clients keep to the limit, through everything.
func TestLibraryKeepsToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		all := apistest.New(fake)
		all.Inntekt.SetLatency(100 * time.Millisecond)
		client, err := maskinporten.New(fake.Config())
		require.NoError(t, err)
		hc, err := all.Inntekt.API().HTTPClient(client, "")
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				resp, err := hc.Get(all.Inntekt.API().BaseURL(client.Environment()) + "/otp/" + apistest.Person + "/inntekter?fraOgMed=2000-01&tilOgMed=2000-01")
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				io.Copy(io.Discard, resp.Body)
				if resp.StatusCode != 200 {
					t.Error(resp.Status)
				}
			})
		}
		wg.Wait()
		require.Equal(t, apistest.Stats{Calls: 50, MaxConcurrent: 5}, all.Inntekt.Stats())
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		all := apistest.New(fake)
		c := newCaller(t, fake, all.Tjenestepensjonsavtale)
		const path = "/otp/avtaleforhold/gyldighet"
		for name, status := range map[string]int{"OTP-001": 500, "OTP-002": 500, "OTP-004": 401, "OTP-005": 403, "OTP-007": 404, "DAS-003": 500, "DAS-008": 403} {
			c.api.FailNext(1, apistest.Fault{Code: name})
			resp, body := c.do("GET", path, "")
			require.Equal(t, status, resp.StatusCode)
			require.Contains(t, body, `"kode":"`+name+`"`)
		}
		c.api.FailNext(1, apistest.Fault{Status: 503, RetryAfter: 1500 * time.Millisecond})
		resp, body := c.do("GET", path, "")
		require.Equal(t, 503, resp.StatusCode)
		require.Equal(t, "2", resp.Header.Get("Retry-After"))
		require.Contains(t, body, "Service Unavailable")

		c.api.FailNext(1, apistest.Fault{Body: "Unknown instance. ID=8ac2", Header: http.Header{"X-A": {"b"}}})
		resp, body = c.do("GET", path, "")
		require.Equal(t, "b", resp.Header.Get("X-A"))
		require.Equal(t, "Unknown instance. ID=8ac2", body)

		c.api.Fail(apistest.Fault{Code: "OTP-001", Message: "Annet", Status: 502, When: func(r *http.Request) bool { return r.Method == http.MethodPost }})
		resp, _ = c.do("GET", path, "")
		require.Equal(t, 400, resp.StatusCode, "not this call")
		resp, body = c.do("POST", "/otp/avtaleforhold", "")
		require.Equal(t, 502, resp.StatusCode)
		require.Contains(t, body, "Annet")

		c.api.Fail(apistest.Fault{Delay: 3 * time.Second})
		start := time.Now()
		c.do("GET", path, "")
		require.Equal(t, 3*time.Second, time.Since(start))

		c.api.Fail(apistest.Fault{Drop: true})
		_, err := fake.HTTPClient().Get(c.api.URL() + path)
		require.ErrorIs(t, err, io.EOF)
		calls := c.api.Calls()
		require.Zero(t, calls[len(calls)-1].Status)
		c.api.Heal()
		resp, _ = c.do("GET", path, "")
		require.Equal(t, 400, resp.StatusCode)
		require.Panics(t, func() { c.api.Fail(apistest.Fault{Code: "IM-001"}) })
	})
}

// With a server, the APIs lie below its address.
func TestUnderAnAddress(t *testing.T) {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	client, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	for _, api := range apistest.New(fake).All() {
		require.True(t, strings.HasPrefix(api.URL(), fake.URL()+"/apis/"))
		require.Equal(t, api.URL(), api.API().BaseURL(client.Environment()))
		hc, err := api.API().HTTPClient(client, otherOrg)
		require.NoError(t, err)
		resp, err := hc.Post(api.URL(), "application/json", bytes.NewReader([]byte("{}")))
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, otherOrg, api.Calls()[0].OrgNumber)
		require.Equal(t, maskinportentest.DefaultOrgNumber, api.Calls()[0].Supplier)
	}
}

// In memory, production's hosts answer as test's.
func TestProductionHosts(t *testing.T) {
	fake := maskinportentest.NewFor(maskinporten.Prod)
	apistest.New(fake)
	client, err := maskinporten.New(fake.Config())
	require.NoError(t, err)
	hc, err := apis.SkatteetatenInntekt.Via(fake.Transport()).HTTPClient(client, "")
	require.NoError(t, err)
	resp, err := hc.Get("https://inntekt.api.skatteetaten.no/v1/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-01")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
}

// A program's code is tested against the documented answers and errors.
func Example() {
	fake := maskinportentest.New()
	fakes := apistest.New(fake)
	fakes.AddIncome(apistest.Income{Month: "2026-01", Amount: 43_210})
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}
	inntekt, err := fakes.Inntekt.API().HTTPClient(client, "")
	if err != nil {
		panic(err)
	}
	url := fakes.Inntekt.URL() + "/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-01"

	resp, err := inntekt.Get(url)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Months []struct {
			Incomes []struct{ Beloep int } `json:"inntekt"`
		} `json:"oppgaveInntektsmottaker"`
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	fmt.Println(answer.Months[0].Incomes[0].Beloep, err)
	// Output: 43210 <nil>
}

// Skatteetaten is out of order once, in its own words.
func ExampleAPI_FailNext() {
	fake := maskinportentest.New()
	fakes := apistest.New(fake)
	fakes.Inntekt.FailNext(1, apistest.Fault{Code: "IM-002"})
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}
	inntekt, err := fakes.Inntekt.API().HTTPClient(client, "")
	if err != nil {
		panic(err)
	}

	resp, err := inntekt.Get(fakes.Inntekt.URL() + "/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-01")
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
	fmt.Println(resp.StatusCode, fakes.Inntekt.Calls()[0].Code)
	// Output: 500 IM-002
}

// Whether a program keeps to the five calls at a time can be read afterwards.
func ExampleAPI_Stats() {
	fake := maskinportentest.New()
	fakes := apistest.New(fake)
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		panic(err)
	}
	inntekt, err := fakes.Inntekt.API().HTTPClient(client, "")
	if err != nil {
		panic(err)
	}
	for range 3 {
		resp, err := inntekt.Get(fakes.Inntekt.URL() + "/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-01")
		if err != nil {
			panic(err)
		}
		resp.Body.Close()
	}
	fmt.Printf("%+v\n", fakes.Inntekt.Stats())
	// Output: {Calls:3 OverLimit:0 MaxConcurrent:1}
}
