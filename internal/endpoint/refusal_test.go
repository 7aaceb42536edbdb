package endpoint

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A proxy that changes the status leaves the token: an answer that holds one is
// quoted with none.
func TestTokenWithAnotherStatusIsNotQuoted(t *testing.T) {
	for _, status := range []int{200, 201, 203, 206, 400, 502} {
		said := ParseRefusal(status, http.Header{}, []byte(`{"access_token":"k3nn-0rd","token_type":"Bearer"}`), time.Now())
		require.Equal(t, Refusal{}, said, status)
	}
	for _, status := range []int{200, 201, 203} {
		require.Equal(t, Refusal{}, ParseRefusal(status, http.Header{}, []byte(`"k3nn-0rd"`), time.Now()), "one as a JSON string")
	}
}

// Codes are compared as they are documented, and written as somebody likes.
func TestCodeInSmallLetters(t *testing.T) {
	said := ParseRefusal(400, http.Header{}, []byte(`{"error":"invalid_grant","error_uri":"https://x/errors/mp-121"}`), time.Now())
	require.Equal(t, "MP-121", said.MPCode)
}

// An object in an object in an object is not read: a megabyte of them would cost
// minutes.
func TestErrorsInErrorsAreNotReadForLong(t *testing.T) {
	said := ParseRefusal(400, http.Header{}, []byte(`{"error":{"error":{"message":"deep"}}}`), time.Now())
	require.Equal(t, `{"error":{"error":{"message":"deep"}}}`, said.Description, "as it stands")
}

// net/http takes these for the names of proxies, and the resolver would be blamed.
func TestProxyVariableThatIsNoURLIsBlamed(t *testing.T) {
	notFound := &net.OpError{Op: "proxyconnect", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "http", IsNotFound: true}}
	for _, host := range []string{`"http:`, "http", "http:", "https:", "'proxy", ":8080", "proxy intern"} {
		hc := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: host})}}
		require.ErrorContains(t, Explain(notFound, testURL, hc), "is not a URL", host)
	}
	hc := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.example:8080"})}}
	err := Explain(notFound, testURL, hc)
	require.NotContains(t, err.Error(), "is not a URL")
	require.True(t, errors.As(err, new(*net.DNSError)))
}
