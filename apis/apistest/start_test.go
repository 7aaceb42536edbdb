package apistest_test

import (
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/apis/apistest"
)

// Without any configuration a program runs against the fakes, whatever half a
// configuration there is.
func TestStartUnlessConfigured(t *testing.T) {
	t.Setenv("MASKINPORTEN_CLIENT_ID", "")
	t.Setenv("MASKINPORTEN_ENV", "prod")
	for _, name := range []string{"ISSUER", "TOKEN_ENDPOINT", "JWKS_URI", "KEYSTORE_PATH", "KEYSTORE_PASSWORD", "SCOPES"} {
		t.Setenv("MASKINPORTEN_"+name, "") // put back afterwards
	}
	api, stop, err := apistest.StartUnlessConfigured(apis.SkatteetatenInntekt)
	require.NoError(t, err)
	defer stop()
	cfg, err := maskinporten.ConfigFromEnv()
	require.NoError(t, err)
	client, err := maskinporten.New(cfg)
	require.NoError(t, err)
	inntekt, err := api.HTTPClient(client, "")
	require.NoError(t, err)
	resp, err := inntekt.Get(api.BaseURL(cfg.Environment) + "/otp/" + apistest.Person + "/inntekter?fraOgMed=2026-01&tilOgMed=2026-06")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode, "%s", body)

	_, err = client.Token(t.Context(), maskinporten.Request{Scope: api.Scope, ConsumerOrg: apistest.NotDelegated})
	require.ErrorIs(t, err, maskinporten.ErrNotDelegated)

	same, stopNothing, err := apistest.StartUnlessConfigured(apis.NAVAaregOTP)
	require.NoError(t, err, "configured now")
	require.Equal(t, apis.NAVAaregOTP.TestURL, same.TestURL)
	stopNothing()
	store := os.Getenv("MASKINPORTEN_KEYSTORE_PATH")
	stop()
	require.NoFileExists(t, store)
	os.Unsetenv("MASKINPORTEN_CLIENT_ID")
	_, _, err = apistest.StartUnlessConfigured(apis.API{Name: "Annet", Scope: "annet:api"})
	require.ErrorContains(t, err, "Annet")
}
