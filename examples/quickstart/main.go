// Quickstart goes from a .p12 file to an answer from Skatteetaten. As it is, it
// calls fakes in its own process; with the variables that
// maskinporten.ConfigFromEnv describes it calls test.maskinporten.no and
// Skatteetaten's test environment.
package main

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
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/apis/apistest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

func main() {
	api, stop, err := apistest.StartUnlessConfigured(apis.SkatteetatenInntekt) // fakes, unless MASKINPORTEN_CLIENT_ID is set
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	ctx := context.Background()

	cfg := must(maskinporten.ConfigFromEnv()) // the .p12 file and its password, among others
	request := must(maskinporten.RequestFromEnv())
	client := must(maskinporten.New(cfg))
	cred := must(cfg.Credential.Credential(ctx))
	fmt.Println("environment:  ", client.Environment().Issuer)
	fmt.Println("client id:    ", cfg.ClientID)
	fmt.Println("organisation: ", cred.OrgNumber())
	if cert := cred.Certificate(); cert != nil {
		fmt.Printf("certificate:   issued by %s, expires %s\n", cert.Issuer.CommonName, cert.NotAfter.Format(time.DateOnly))
	}

	token := must(client.Token(ctx, request))
	verifier := must(resourceserver.NewVerifier(client.Environment(), cfg.HTTPClient))
	claims := must(verifier.Verify(ctx, token.AccessToken()))
	fmt.Println("scope:        ", token.Scope())
	fmt.Println("consumer:     ", claims.Consumer)
	fmt.Println("lifetime:     ", claims.Expiry.Sub(claims.IssuedAt))
	fetched := client.Stats().Fetches
	must(client.Token(ctx, request))
	fmt.Println("second call:   needed no new token:", client.Stats().Fetches == fetched)

	inntekt := must(api.HTTPClient(client, request.ConsumerOrg))
	address := api.BaseURL(cfg.Environment) + "/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-01&tilOgMed=2026-01"
	resp := must(inntekt.Get(address))
	defer resp.Body.Close()
	fmt.Printf("answer:        HTTP %d %s\n%s", resp.StatusCode, http.StatusText(resp.StatusCode), must(io.ReadAll(resp.Body)))
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
