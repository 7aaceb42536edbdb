package apis_test

import (
	"fmt"
	"log"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// One call makes a client for a known API, which keeps to its limit of calls
// at a time.
func ExampleAPI_HTTPClient() {
	fake := maskinportentest.New()
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	api, err := apis.SkatteetatenInntekt.HTTPClient(client, "")
	if err != nil {
		log.Fatal(err)
	}
	_, err = api.Get("https://api.example.no/")
	fmt.Println(err)
	// Output: Get "https://api.example.no/": maskinporten: no token is sent to https://api.example.no: this transport was made for inntekt.api.skatteetaten-test.no over https; make one for that host if it may have a token
}
