// Oauth2 gives Maskinporten's tokens to code that knows only
// golang.org/x/oauth2.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"golang.org/x/oauth2"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/examples/internal/fakeapi"
)

// income stands for code that takes tokens from wherever they come.
// oauth2.NewClient sends them to every host that is called, and to those that
// it is redirected to; maskinporten.Transport does not.
func income(ctx context.Context, tokens oauth2.TokenSource, url string) (string, error) {
	resp, err := oauth2.NewClient(ctx, tokens).Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("HTTP %d %s\n%s", resp.StatusCode, http.StatusText(resp.StatusCode), body), err
}

func main() {
	api, stop := fakeapi.Start(apis.SkatteetatenInntekt)
	defer stop()
	client := must(maskinporten.New(must(maskinporten.ConfigFromEnv())))
	source := must(client.TokenSource(must(maskinporten.RequestFromEnv())))
	url := api.BaseURL(client.Environment()) + "/otp/" + fakeapi.Person + "/inntekter?fraOgMed=2026-01&tilOgMed=2026-01"
	fmt.Print(must(income(context.Background(), source, url)))
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
