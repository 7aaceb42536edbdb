// Package apistest has the APIs of package apis as fakes: Skatteetaten's three
// and NAV's Aa-registeret. They check the tokens of a fake Maskinporten, answer
// in the shapes that are documented, errors too, and keep to the limit of calls
// at a time.
//
//	fake := maskinportentest.New()
//	fakes := apistest.New(fake)
//	client, err := maskinporten.New(fake.Config())
//	inntekt, err := fakes.Inntekt.API().HTTPClient(client, "")
//
// What a test says nothing about is there: every person has an income from
// [Employer] and works there. [APIs.AddIncome], [APIs.AddEmployment] and
// [APIs.AddAgreement] say it otherwise, [API.FailNext] breaks an API.
//
// Sources: https://skatteetaten.github.io/api-dokumentasjon for Skatteetaten,
// https://navikt.github.io/aareg/tjenester/integrasjon/otp-api for NAV. What
// they leave open is said where it is decided here.
package apistest

import (
	"net/http"
	"strings"

	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// Synthetic persons and organisations, as test environments have them.
const (
	Person        = "25922947409"
	UnknownPerson = "01929299999" // of whom Skatteetaten knows nothing
	Employer      = "313367002"
)

// APIs are the fakes of all known APIs, beside one Maskinporten. They know the
// same persons.
type APIs struct {
	Inntekt                *API
	Inntektsmottakere      *API
	Tjenestepensjonsavtale *API
	NAVAaregOTP            *API

	fake *maskinportentest.Fake
	data data
}

// New returns fakes that take fake's tokens. If fake has an address they lie
// below it, at /apis/…; in memory they are at their own hosts, production's and
// test's, for calls through [maskinportentest.Fake.Transport].
func New(fake *maskinportentest.Fake) *APIs {
	a := &APIs{fake: fake}
	a.Inntekt = a.mount(apis.SkatteetatenInntekt, "inntekt", imCodes, a.inntekt)
	a.Inntektsmottakere = a.mount(apis.SkatteetatenInntektsmottakere, "inntektsmottakere", immCodes, a.inntektsmottakere)
	a.Tjenestepensjonsavtale = a.mount(apis.SkatteetatenTjenestepensjonsavtale, "tjenestepensjonsavtale", otpCodes, a.tjenestepensjonsavtale)
	a.NAVAaregOTP = a.mount(apis.NAVAaregOTP, "aareg", aaregCodes, a.aareg)
	return a
}

// mount puts an API where calls will reach it.
func (a *APIs) mount(known apis.API, name string, codes codeTable, answer func(*call) *answer) *API {
	api := &API{known: known, fake: a.fake, codes: codes, answer: answer, limit: known.Concurrency}
	if a.fake.URL() == "" {
		api.at = known.Via(a.fake.Transport())
		for _, base := range []string{known.ProdURL, known.TestURL} {
			host, path := splitURL(base)
			a.fake.Handle(host, http.StripPrefix(path, api))
		}
		return api
	}
	path := "/apis/" + name + "/v1"
	api.url = a.fake.URL() + path
	api.at = known.At(api.url)
	a.fake.Handle(path, http.StripPrefix(path, api))
	a.fake.Handle(path+"/", http.StripPrefix(path, api))
	return api
}

// splitURL takes a base URL apart into its host and its path.
func splitURL(base string) (host, path string) {
	_, rest, _ := strings.Cut(base, "://")
	host, path, _ = strings.Cut(rest, "/")
	return host, "/" + path
}

// All returns the four, in the order of package apis.
func (a *APIs) All() []*API {
	return []*API{a.Inntekt, a.Inntektsmottakere, a.Tjenestepensjonsavtale, a.NAVAaregOTP}
}
