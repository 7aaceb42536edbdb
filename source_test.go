package maskinporten_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// A source may answer with an error of this package's, and put into it what it
// likes: a vault's answer, say.
func TestFieldErrorOfASourceIsCleaned(t *testing.T) {
	const (
		pid   = "25922947409"
		other = "10987654321"
		token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ2YXVsdCJ9.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw"
	)
	r := maskinporten.Request{Scope: "a:b", PID: pid}
	for reason, problem := range map[string]string{
		"the person":     "for " + pid + " there is none",
		"another person": "for " + other + " there is none",
		"a token":        "of " + token + " there is none",
		"a log line":     "none\r\nlevel=ERROR msg=forged\x1b[31m",
	} {
		cfg := maskinportentest.New().Config()
		cfg.Credential = sourceFunc(func() (*maskinporten.Credential, error) {
			return nil, fmt.Errorf("vault: %w", &maskinporten.FieldError{Field: "Vault", Problem: problem})
		})
		client, err := maskinporten.New(cfg)
		require.NoError(t, err)
		_, failed := client.Token(t.Context(), r)
		for _, err := range []error{failed, client.Check(t.Context()), client.Check(t.Context(), r), client.Prefetch(t.Context(), []maskinporten.Request{r}, 1, nil)} {
			require.ErrorIs(t, err, maskinporten.ErrNoToken, reason)
			for e := err; e != nil; e = errors.Unwrap(e) {
				for _, secret := range []string{pid, other, token[:30], "\n", "\x1b"} {
					require.NotContains(t, e.Error(), secret, reason)
				}
			}
		}
		require.NotContains(t, fmt.Sprintf("%+v", client.Stats()), pid)
		require.True(t, strings.Contains(failed.Error(), "none"), "what is clean is kept")
	}
}
