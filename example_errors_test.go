package maskinporten_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

func (perRPC) RequireTransportSecurity() bool { return true }

// A program sees at start, and a readiness probe later, that its credential is
// good and that tokens can be had, before an API's users do.
func ExampleClient_Check() {
	client, err := maskinporten.New(maskinportentest.New().Config())
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fmt.Println(client.Check(ctx))
	fmt.Println(client.Check(ctx, maskinporten.Request{Scope: "skatteetaten:inntekt"}))
	// Output:
	// <nil>
	// <nil>
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
