//go:build !before

package main

import (
	"net/http"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

// inntekt is Skatteetaten's API, through base, for the client's own organisation.
func inntekt(c *maskinporten.Client, base http.RoundTripper) (*http.Client, error) {
	return apis.SkatteetatenInntekt.Via(base).HTTPClient(c, "")
}

func newVerifier(env maskinporten.Environment, hc *http.Client) (*resourceserver.Verifier, error) {
	return resourceserver.NewVerifier(env, hc)
}

// holds reports whether a result has to be right.
func holds() bool { return true }
