// Oauth2 gives Maskinporten's tokens to code that knows only
// golang.org/x/oauth2.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/apis/apistest"
)

// income stands for code that takes tokens from wherever they come.
// oauth2.NewClient sends them to every host that is called, and to those that
// it is redirected to; maskinporten.Transport does not.
func income(ctx context.Context, tokens oauth2.TokenSource, address string) (string, error) {
	resp, err := oauth2.NewClient(ctx, tokens).Get(address)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("HTTP %d %s\n%s", resp.StatusCode, http.StatusText(resp.StatusCode), body), err
}

func main() {
	api, stop, err := apistest.StartUnlessConfigured(apis.SkatteetatenInntekt) // fakes, unless MASKINPORTEN_CLIENT_ID is set
	if err != nil {
		log.Fatal(err)
	}
	defer stop()
	client := must(maskinporten.New(must(maskinporten.ConfigFromEnv())))
	source := must(client.TokenSource(must(maskinporten.RequestFromEnv())))
	address := api.BaseURL(client.Environment()) + "/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-01&tilOgMed=2026-01"
	fmt.Print(must(income(context.Background(), source, address)))
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
