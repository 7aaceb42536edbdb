package maskinporten_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// A Transport puts tokens on calls to the hosts that it was made for, and to no
// other. An API's URL may hold a person, and http.Client puts URLs into errors:
// log what stands inside.
func ExampleClient_Transport() {
	fake := maskinportentest.New() // in production: the Config of your own client
	fake.Handle("inntekt.api.skatteetaten-test.no", fake.Guard("skatteetaten:inntekt", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the income")
	})))
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	// In production, nil in place of fake.Transport().
	transport, err := client.Transport(maskinporten.Request{Scope: "skatteetaten:inntekt"}, fake.Transport(), "inntekt.api.skatteetaten-test.no")
	if err != nil {
		log.Fatal(err)
	}
	api := &http.Client{Transport: transport, Timeout: time.Minute}
	for _, host := range []string{"inntekt.api.skatteetaten-test.no", "api.example.no"} {
		resp, err := api.Get("https://" + host + "/v1/otp/25922947409/inntekter")
		var withURL *url.Error
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		if err != nil {
			fmt.Println(err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(string(body))
	}
	// Output:
	// the income
	// maskinporten: no token is sent to https://api.example.no: this transport was made for inntekt.api.skatteetaten-test.no over https; make one for that host if it may have a token
}

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
