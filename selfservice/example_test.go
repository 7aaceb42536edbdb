package selfservice_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

// The first rotation registers a client's first key, and each one after it
// renews the key. Programs that read the file with maskinporten.JWKFile sign
// with the new one and need no restart.
func ExampleClient_Rotate() {
	folder, err := os.MkdirTemp("", "rotation")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	ctx := context.Background()

	fake := maskinportentest.New()
	admin, err := maskinporten.New(fake.Config()) // in production: the Config of your admin client
	if err != nil {
		log.Fatal(err)
	}
	api, err := selfservice.New(admin, selfservice.Options{HTTPClient: fake.HTTPClient()}) // in production: no options
	if err != nil {
		log.Fatal(err)
	}
	made, err := api.Create(ctx, selfservice.Integration{Name: "Pensjon", Scopes: []string{"skatteetaten:inntekt"}})
	if err != nil {
		log.Fatal(err)
	}

	rotation := selfservice.KeyFile(made.ClientID, filepath.Join(folder, "client.jwk"))
	rotation.Grace = time.Nanosecond // nobody else reads the file here; in production leave it out
	first, err := api.Rotate(ctx, rotation)
	if err != nil {
		log.Fatal(err)
	}
	second, err := api.Rotate(ctx, rotation)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(second.Removed == first.KeyID)

	keys, err := api.Keys(ctx, made.ClientID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(keys), keys[0].KeyID == second.KeyID)
	// Output:
	// true
	// 1 true
}
