package maskinporten_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
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

func ExampleClient_Token() {
	fake := maskinportentest.New() // in production: the Config of your own client
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	request := maskinporten.Request{Scope: "skatteetaten:inntekt"}
	for range 3 {
		token, err := client.Token(context.Background(), request)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.Scope())
	}
	fmt.Println("fetches:", client.Stats().Fetches)
	// Output:
	// skatteetaten:inntekt
	// skatteetaten:inntekt
	// skatteetaten:inntekt
	// fetches: 1
}

// A supplier acts for a customer that has delegated the scope to it in Altinn.
func ExampleRequest_consumerOrg() {
	fake := maskinportentest.New()
	fake.Undelegate("skatteetaten:inntekt", "313367002", maskinportentest.DefaultOrgNumber)
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "skatteetaten:inntekt", ConsumerOrg: "313367002"})
	if errors.Is(err, maskinporten.ErrNotDelegated) {
		fmt.Println("ask the customer to delegate the scope in Altinn")
	}
	// Output: ask the customer to delegate the scope in Altinn
}

func ExampleError() {
	fake := maskinportentest.New()
	fake.AddClient(maskinportentest.Integration{ID: "client-1", OrgNumber: maskinportentest.DefaultOrgNumber, Scopes: []string{"skatteetaten:inntekt"}})
	client, err := maskinporten.New(fake.ConfigFor("client-1"))
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "skatteetaten:intekt"})
	var refusal *maskinporten.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Code, refusal.MPCode)
		fmt.Println(refusal.Remedy())
	}
	// Output:
	// invalid_scope MP-200
	// The scope "skatteetaten:intekt" is not registered on client client-1: add it in Samarbeidsportalen, and check its spelling.
}
