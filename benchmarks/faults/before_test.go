//go:build before

package main

import (
	"net/http"

	"github.com/maskinporten-go/maskinporten"
)

// inntekt is Skatteetaten's API, through base, for the client's own organisation.
func inntekt(c *maskinporten.Client, base http.RoundTripper) (*http.Client, error) {
	return maskinporten.SkatteetatenInntekt.Via(base).HTTPClient(c, "")
}

func newVerifier(env maskinporten.Environment, hc *http.Client) (*maskinporten.Verifier, error) {
	return maskinporten.NewVerifier(env, hc)
}

// holds reports whether a result has to be right.
func holds() bool { return false }
