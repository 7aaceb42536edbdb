package altinn_test

import (
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// An Altinn app takes Altinn's tokens. They are traded for Maskinporten's, kept
// for as long as they live, and put on the calls to the app.
func ExampleExchange() {
	const app = "ttd.apps.tt02.altinn.no"
	fake := maskinportentest.New() // in production: the Config of your own client
	fake.Handle(app, fake.Altinn().Guard("altinn:instances.read", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the instances")
	})))
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	exchanged := client.WithExchange(altinn.TT02) // altinn.Prod in production
	transport, err := exchanged.Transport(maskinporten.Request{Scope: "altinn:instances.read"}, fake.Transport(), app)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Get("https://" + app + "/ttd/app/instances")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(body))
	// Output: the instances
}
