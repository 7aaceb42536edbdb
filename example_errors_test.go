package maskinporten_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// A client that repeats calls to an API, as github.com/hashicorp/go-retryablehttp
// does, is to leave a call alone that came to nothing for want of a token: the
// library has tried three times already, and remembers what it was told.
// The function is its CheckRetry.
func ExampleClient_Transport_checkRetry() {
	checkRetry := func(ctx context.Context, resp *http.Response, err error) (retry bool, _ error) {
		switch {
		case errors.Is(err, maskinporten.ErrNoToken):
			return false, err
		case ctx.Err() != nil:
			return false, ctx.Err()
		}
		return err != nil || resp.StatusCode >= 500, nil
	}

	client, err := maskinporten.New(maskinportentest.New().Config())
	if err != nil {
		log.Fatal(err)
	}
	transport, err := client.Transport(maskinporten.Request{Scope: "skatteetaten:inntekt"}, nil, "api.example.no")
	if err != nil {
		log.Fatal(err)
	}
	resp, err := (&http.Client{Transport: transport}).Get("https://other.example.no/")
	retry, _ := checkRetry(context.Background(), resp, err)
	fmt.Println(retry)
	// Output: false
}

// perRPC puts tokens on gRPC calls: it is a credentials.PerRPCCredentials of
// google.golang.org/grpc, which keeps calls with it to connections with TLS.
type perRPC struct{ source *maskinporten.TokenSource }

func (p perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := p.source.TokenContext(ctx)
	if err != nil {
		return nil, err // gRPC makes a status with code Unauthenticated of it, and keeps only its text
	}
	return map[string]string{"authorization": "Bearer " + token.AccessToken()}, nil
}

func (perRPC) RequireTransportSecurity() bool { return true }

// For gRPC, give grpc.WithPerRPCCredentials a type such as this one. What is to
// be told apart by errors.Is is asked for before the call: TokenContext costs
// nothing while a token is at hand.
func ExampleTokenSource_TokenContext_grpc() {
	client, err := maskinporten.New(maskinportentest.New().Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.TokenSource(maskinporten.Request{Scope: "skatteetaten:inntekt"})
	if err != nil {
		log.Fatal(err)
	}
	// conn, err := grpc.NewClient("api.example.no:443", grpc.WithPerRPCCredentials(perRPC{source}), …)
	metadata, err := perRPC{source}.GetRequestMetadata(context.Background())
	fmt.Println(len(metadata), err)
	// Output: 1 <nil>
}

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
