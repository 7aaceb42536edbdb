package apis_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// One call makes a client for a known API, which keeps to the number of calls
// that it takes at a time.
func ExampleAPI_HTTPClient() {
	fake := maskinportentest.New() // in production: the Config of your own client
	fake.Handle("inntekt.api.skatteetaten-test.no", fake.Guard("skatteetaten:inntekt", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the income")
	})))
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	inntekt := apis.SkatteetatenInntekt.Via(fake.Transport()) // in production without Via
	api, err := inntekt.HTTPClient(client, "")
	if err != nil {
		log.Fatal(err)
	}
	resp, err := api.Get(inntekt.BaseURL(client.Environment()) + "/otp/25922947409/inntekter?fraOgMed=2026-01&tilOgMed=2026-06")
	if err != nil {
		var withURL *url.Error // the URL holds a person, and is not for logs
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		log.Fatal(err)
	}
	defer resp.Body.Close() // which also makes room for the next call
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.StatusCode, string(body))
	// Output: 200 the income
}
