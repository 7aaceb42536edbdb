// Skatteetaten fetches the income of several persons at once: the client keeps
// to the five calls at a time that Skatteetaten takes. One person is unknown.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"sync"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/apis/apistest"
)

type answer struct {
	Months []json.RawMessage `json:"oppgaveInntektsmottaker"`

	// An error, with an id to give Skatteetaten.
	Code          string `json:"kode"`
	Message       string `json:"melding"`
	CorrelationID string `json:"korrelasjonsid"`
}

func income(api *http.Client, baseURL, pid string) (months []json.RawMessage, err error) {
	resp, err := api.Get(baseURL + "/otp/" + pid + "/inntekter?fraOgMed=2026-01&tilOgMed=2026-06")
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return nil, fmt.Errorf("HTTP %d: %w", resp.StatusCode, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s (korrelasjonsid %s)", a.Code, a.Message, a.CorrelationID)
	}
	return a.Months, nil
}

func main() {
	api, stop, err := apistest.StartUnlessConfigured(apis.SkatteetatenInntekt) // fakes, unless MASKINPORTEN_CLIENT_ID is set
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	client := must(maskinporten.New(must(maskinporten.ConfigFromEnv())))
	inntekt := must(api.HTTPClient(client, "")) // for our own organisation

	var wg sync.WaitGroup
	for i, pid := range []string{apistest.Person, apistest.UnknownPerson, apistest.Person} {
		wg.Go(func() {
			months, err := income(inntekt, api.BaseURL(client.Environment()), pid)
			fmt.Printf("person %d: income in %d months, error: %v\n", i+1, len(months), err)
		})
	}
	wg.Wait()
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(withoutURL(err))
	}
	return v
}

// withoutURL takes off what http.Client puts around an error: the URL, which
// holds the person. What is inside says what to do.
func withoutURL(err error) error {
	var call *url.Error
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}
