package maskinportentest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// In a bubble of synctest the in-memory fake waits in the bubble's time, and
// stamps its answers with it.
func TestInMemoryTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		client := newClient(t, fake.Config())
		request := maskinporten.Request{Scope: "bank:saldo"}

		fake.FailNext(1, maskinportentest.Fault{Delay: 15 * time.Second})
		start := time.Now()
		_, err := client.Token(t.Context(), request)
		require.NoError(t, err, "late is not refused")
		require.Equal(t, 15*time.Second, time.Since(start))

		time.Sleep(2 * time.Minute)
		_, err = client.Token(t.Context(), request)
		require.NoError(t, err, "the token has expired, another is got")
		require.Equal(t, 2, fake.TokenRequests())

		resp, err := fake.HTTPClient().Get(fake.Environment().JWKSURL)
		require.NoError(t, err)
		require.Equal(t, time.Now().UTC().Format(http.TimeFormat), resp.Header.Get("Date"))
		fake.SetClock(time.Hour)
		resp, err = fake.HTTPClient().Get(fake.Environment().JWKSURL)
		require.NoError(t, err)
		require.Equal(t, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat), resp.Header.Get("Date"))
	})
}

func TestInMemoryContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := maskinportentest.New()
		fake.Fail(maskinportentest.Fault{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		body := &closed{Reader: strings.NewReader("x")}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fake.Environment().TokenURL, body)
		require.NoError(t, err)
		start := time.Now()
		_, err = fake.Transport().RoundTrip(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
		require.True(t, body.closed)

		body.closed = false
		_, err = fake.Transport().RoundTrip(req)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, body.closed, "also when the context has ended before")
		require.Equal(t, 1, fake.TokenRequests(), "and nothing was sent")
	})
}

type closed struct {
	io.Reader
	closed bool
}

func TestInMemoryHosts(t *testing.T) {
	fake := maskinportentest.New()
	fake.Handle("API.bank.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %v", r.Method, r.Host, r.RequestURI, r.TLS != nil)
	}))
	fake.Handle("cut.bank.example:8443", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}))
	client := &http.Client{Transport: fake.Transport()}

	resp, err := client.Get("https://api.bank.example:443/saldo?a=b")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "GET api.bank.example:443 /saldo?a=b true", string(body))
	require.NotEmpty(t, resp.Header.Get("Date"))

	resp, err = client.Head("http://api.bank.example")
	require.NoError(t, err)
	body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Empty(t, body)

	resp, err = client.Get("https://cut.bank.example:8443/")
	require.NoError(t, err)
	body, err = io.ReadAll(resp.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, "half", string(body))

	_, err = client.Get("https://elsewhere.example/")
	require.ErrorContains(t, err, "no such host")
}

func (c *closed) Close() error { c.closed = true; return nil }
