package selfservice_test

import (
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten/selfservice"
)

// An answer that is no set of keys is not taken for an empty set: writing that
// with a new key would take all the others away.
func TestOddKeySets(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	before := h.kids(t)
	hc := h.fake.HTTPClient()
	for _, tt := range []struct {
		reason string
		status int
		body   string
	}{
		{"nothing", 200, ""},
		{"a page", 200, "<html><title>Vedlikehold</title>"},
		{"null", 200, "null"},
		{"an array", 200, "[]"},
		{"an empty object", 200, "{}"},
		{"keys a string", 200, `{"keys":"x"}`},
		{"cut", 200, `{"keys":[{"kid":"a"`},
		{"204", 204, ""},
		{"error with 200", 200, `{"error":"server_error"}`},
		{"an EC key", 200, `{"keys":[{"kty":"EC","kid":"a","crv":"P-256","x":"x","y":"y"}]}`},
		{"a null key", 200, `{"keys":[null]}`},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			posts := 0
			api := h.newAPI(t, &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
				if filepath.Base(r.URL.Path) == "jwks" {
					if r.Method == http.MethodGet {
						return &http.Response{StatusCode: tt.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(tt.body)), Request: r}, nil
					}
					posts++
				}
				return hc.Transport.RoundTrip(r)
			})})
			key, err := selfservice.SmallKey()
			require.NoError(t, err)
			_, err = api.RegisterKey(t.Context(), h.clientID, key.Public())
			assert.Error(t, err)
			assert.Zero(t, posts)
			assert.Equal(t, before, h.kids(t))
		})
	}
}
