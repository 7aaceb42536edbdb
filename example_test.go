package maskinporten_test

import (
	"io"
	"log"
	"net/http"
	"os"

	"github.com/maskinporten-go/maskinporten"
)

// The ten lines: from a .p12 file to an answer from Skatteetaten.
func Example() {
	data, err := os.ReadFile("virksomhetssertifikat.p12")
	if err != nil {
		log.Fatal(err)
	}
	cred, err := maskinporten.LoadPKCS12(data, os.Getenv("P12_PASSWORD"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := maskinporten.New(maskinporten.Config{
		Environment: maskinporten.Test, ClientID: "…", Credential: cred,
	})
	if err != nil {
		log.Fatal(err)
	}
	transport, err := client.Transport(maskinporten.Request{Scope: "skatteetaten:inntekt"}, nil, "inntekt.api.skatteetaten-test.no")
	if err != nil {
		log.Fatal(err)
	}
	api := &http.Client{Transport: transport}
	resp, err := api.Get("https://inntekt.api.skatteetaten-test.no/v1/otp/…/inntekter?fraOgMed=2026-01&tilOgMed=2026-06")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(os.Stdout, resp.Body)
}
