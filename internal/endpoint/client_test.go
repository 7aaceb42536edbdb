package endpoint

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCheckURL(t *testing.T) {
	for _, good := range []string{
		"https://maskinporten.no/", "https://sky.maskinporten.no", "https://x:8443/token", "http://127.0.0.1:1/token", "http://[::1]/", "http://LOCALHOST/",
	} {
		require.Empty(t, CheckURL(good), good)
	}
	for raw, says := range map[string]string{
		"":                             "is missing",
		"https://":                     "is not a URL",
		"https://:443/":                "is not a URL",
		"/token":                       "does not begin with https://",
		"maskinporten.no/token":        "does not begin with https://",
		"maskinporten.no:443/token":    "does not begin with https://",
		"mailto:a@b":                   "does not begin with https://",
		"http://maskinporten.no/":      "is not https",
		"http://127.0.0.1.example.no/": "is not https",
		"ftp://127.0.0.1/":             "is not https",
		"https://u:secret@x/":          "holds a user name or a password",
		"https://u:secret@x/%zz":       "is not a URL",
		"https://x/?a=b":               "has a query or a fragment",
		"https://x/?":                  "has a query or a fragment",
		"https://x/#":                  "has a query or a fragment",
		"https://x/#a":                 "has a query or a fragment",
		"https://x/token\n":            `holds white space: "https://x/token\n"`,
		" https://x/token":             `holds white space: " https://x/token"`,
		"https://u:secret@x/token\n":   "holds white space",
		"u:secret@x/token":             "does not begin with https://",
		"https://x/\x00":               "holds white space",
	} {
		got := CheckURL(raw)
		require.Contains(t, got, says, raw)
		require.NotContains(t, got, "secret")
	}
}

func TestReadBody(t *testing.T) {
	for _, size := range []int{0, 1, MaxBody, MaxBody + 1} {
		body, err := ReadBody(strings.NewReader(strings.Repeat("x", size)))
		require.Equal(t, size > MaxBody, err != nil, size)
		if err == nil {
			require.Len(t, body, size)
		}
	}
	_, err := ReadBody(iotest.ErrReader(io.ErrUnexpectedEOF))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		status, hang := http.StatusOK, false
		hc := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
			require.Equal(t, "application/json", req.Header.Get("Accept"))
			if hang {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("said")), Header: http.Header{}}, nil
		})}
		body, err := Get(t.Context(), hc, testURL)
		require.NoError(t, err)
		require.Equal(t, "said", string(body))

		status = http.StatusNotFound
		_, err = Get(t.Context(), hc, testURL)
		require.EqualError(t, err, "HTTP 404: said")

		hang = true
		start := time.Now()
		_, err = Get(t.Context(), hc, testURL)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, AttemptTimeout, time.Since(start))

		_, err = Get(t.Context(), hc, ":")
		require.Error(t, err)
	})
}

func TestClientFollowsNoRedirect(t *testing.T) {
	for _, hc := range []*http.Client{nil, {}, {CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
		require.Equal(t, http.ErrUseLastResponse, NewClient(hc).CheckRedirect(nil, nil))
	}
}
