// Nav asks Aa-registeret for the employments at an employer. The API is GraphQL:
// a query that fails comes back as HTTP 200, with errors.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/apis/apistest"
)

const query = `query($opplysningspliktigId: ID!, $ansattFraMaaned: String!) {finnArbeidsforholdoversikterPrOpplysningspliktig(opplysningspliktigId: $opplysningspliktigId, ansattFraMaaned: $ansattFraMaaned){arbeidsforholdoversikter{id arbeidstaker{ident} yrke{kode beskrivelse} sistEndret}}}`

func employments(api *http.Client, url, employer string) (json.RawMessage, error) {
	body := must(json.Marshal(map[string]any{
		"query":     query,
		"variables": map[string]string{"opplysningspliktigId": employer, "ansattFraMaaned": "2026-01"},
	}))
	resp, err := api.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	var answer struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if len(answer.Errors) > 0 {
		return nil, fmt.Errorf("%s (correlation-id %s)", answer.Errors[0].Message, resp.Header.Get("correlation-id"))
	}
	return answer.Data, nil
}

func main() {
	api, stop, err := apistest.StartUnlessConfigured(apis.NAVAaregOTP) // fakes, unless MASKINPORTEN_CLIENT_ID is set
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	client := must(maskinporten.New(must(maskinporten.ConfigFromEnv())))
	aareg := must(api.HTTPClient(client, "")) // for our own organisation
	for _, employer := range []string{apistest.Employer, "123456789"} {
		data, err := employments(aareg, api.BaseURL(client.Environment()), employer)
		fmt.Printf("employer %s: %s error: %v\n", employer, data, err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
