// Supplier is a backend that calls Skatteetaten on behalf of its customers, who
// have delegated that to it in Altinn; one of them has not. Tokens are kept
// apart by the library: the customer is part of what is asked for.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/apis/apistest"
)

type backend struct {
	client *maskinporten.Client
	api    apis.API
}

// ServeHTTP answers GET /customers/{customer}/income/{pid}.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api, err := b.api.HTTPClient(b.client, r.PathValue("customer")) // costs nothing: one for each call will do
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest) // not an organisation number
		return
	}
	path := "/otp/" + url.PathEscape(r.PathValue("pid")) + "/inntekter?fraOgMed=2026-01&tilOgMed=2026-01"
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, b.api.BaseURL(b.client.Environment())+path, nil)
	if err != nil {
		http.Error(w, "not a national identity number", http.StatusBadRequest)
		return
	}
	resp, err := api.Do(req)
	switch {
	case errors.Is(err, maskinporten.ErrNotDelegated):
		http.Error(w, "delegate "+b.api.Scope+" to us in Altinn first", http.StatusForbidden)
	case err != nil:
		log.Print(withoutURL(err)) // for the one on call: it says what to do
		http.Error(w, "Skatteetaten could not be asked, try again later", http.StatusBadGateway)
	default:
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
	}
}

func main() {
	api, stop, err := apistest.StartUnlessConfigured(apis.SkatteetatenInntekt) // fakes, unless MASKINPORTEN_CLIENT_ID is set
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	client := must(maskinporten.New(must(maskinporten.ConfigFromEnv())))
	mux := http.NewServeMux()
	mux.Handle("GET /customers/{customer}/income/{pid}", &backend{client, api})
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, customer := range []string{"313367002", apistest.NotDelegated, "974760673"} {
		resp := must(http.Get(server.URL + "/customers/" + customer + "/income/" + apistest.Person))
		fmt.Printf("customer %s: %s\n%s\n", customer, resp.Status, must(io.ReadAll(resp.Body)))
	}
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
