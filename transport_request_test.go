package maskinporten_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// The API gets the caller's own headers beside the token, and nothing that a
// base transport does to them reaches the caller's request.
func TestCallersHeadersArriveAndStayAsTheyAre(t *testing.T) {
	values := make([]string, 1, 4)
	values[0] = "a"
	for _, tt := range []struct {
		reason string
		header http.Header
	}{
		{"headers", http.Header{"X-Own": values, "Correlation-Id": {"1"}, "If-None-Match": {"as long a name as Authorization"}}},
		{"a request put together by hand may have none", nil},
	} {
		var arrived http.Header
		tr, err := newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(req *http.Request) (*http.Response, error) {
			arrived = req.Header.Clone()
			req.Header.Add("X-Own", "added below")
			req.Header.Set("Correlation-Id", "changed below")
			return answer(http.StatusOK, ""), nil
		}), "api.example.no")
		require.NoError(t, err)
		req, err := http.NewRequest(http.MethodGet, "https://api.example.no/", nil)
		require.NoError(t, err)
		req.Header = tt.header
		before := tt.header.Clone()
		resp, err := tr.RoundTrip(req)
		require.NoError(t, err)
		require.Same(t, req, resp.Request, "no log of the answer shows the token")
		require.Equal(t, before, req.Header, tt.reason)
		require.Contains(t, arrived.Get("Authorization"), "Bearer ")
		arrived.Del("Authorization")
		require.Len(t, arrived, len(before))
		for name, want := range before {
			require.Equal(t, want, arrived[name], tt.reason)
		}
	}
	require.Equal(t, []string{"a", "", "", ""}, values[:4], "what lies behind the values is the caller's too")
}

// What the base fails with is the caller's to see, with a token and without.
func TestErrorOfTheBaseIsPassedOn(t *testing.T) {
	broken := errors.New("broken")
	tr, err := newClient(t, maskinportentest.New()).Transport(maskinporten.Request{Scope: "a:b"}, roundTripFunc(func(*http.Request) (*http.Response, error) {
		return nil, broken
	}), "api.example.no")
	require.NoError(t, err)
	for _, authorization := range []string{"", "Basic own"} {
		req, err := http.NewRequest(http.MethodGet, "https://api.example.no/", nil)
		require.NoError(t, err)
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		_, err = tr.RoundTrip(req)
		require.ErrorIs(t, err, broken)
		require.NotErrorIs(t, err, maskinporten.ErrNoToken, "the API was called")
	}
}
