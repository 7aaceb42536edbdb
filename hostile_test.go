package maskinporten

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHostileServers is answers that only a real connection can give, each
// with the library's own HTTP client and with one that a user brings.
func TestHostileServers(t *testing.T) {
	bomb := gzipBomb(t, 128<<20)
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, tt := range []struct {
		reason string
		answer http.HandlerFunc
	}{
		{"a gzip bomb", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb)
		}},
		{"headers without end", func(w http.ResponseWriter, r *http.Request) {
			for i := range 5000 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 4000))
			}
		}},
		{"a body without end", func(w http.ResponseWriter, r *http.Request) {
			chunk := bytes.Repeat([]byte(" "), 64<<10)
			for r.Context().Err() == nil {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}},
		{"a redirect that would take the assertion along", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}},
		{"half an answer", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, tokenJSON(120))
		}},
		{"not HTTP", func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				conn.Write([]byte("220 smtp.example.no ESMTP\r\n"))
				conn.Close()
			}
		}},
		{"nothing", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		for name, hc := range map[string]*http.Client{"own client": nil, "user's client": {Transport: &http.Transport{MaxResponseHeaderBytes: 1 << 20}}} {
			t.Run(tt.reason+", "+name, func(t *testing.T) {
				server := httptest.NewServer(tt.answer)
				defer server.Close()
				env := Environment{Issuer: server.URL, TokenURL: server.URL + "/token"}
				x := newExchange(env, "c", testCredential(), hc, slog.New(slog.DiscardHandler))
				before := allocated()
				_, err := x.post(context.Background(), &Request{Scope: "s"}, "header.claims.signature")
				require.ErrorIs(t, err, ErrUnavailable)
				require.NotContains(t, err.Error(), "header.claims.signature")
				require.Less(t, allocated()-before, 64<<20)
			})
		}
	}
	require.Zero(t, elsewhere.Load())
}

// What a server echoes of the assertion, net/http puts into its errors: it is
// in none of those that are unwrapped to.
func TestErrorsHoldNoEcho(t *testing.T) {
	for reason, echo := range map[string]string{
		"status line":         "HTTP/1.1 %s\r\n\r\n",
		"status code":         "HTTP/1.1 2%s OK\r\n\r\n",
		"version":             "%s 200 OK\r\n\r\n",
		"no HTTP":             "%s\r\n",
		"part":                "%.60s\r\n",
		"Content-Length":      "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"two Content-Lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: %s\r\n\r\n",
		"Transfer-Encoding":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"header without name": "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"header name":         "HTTP/1.1 200 OK\r\na %s: b\r\n\r\n",
		"Location":            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://x:%s/\r\n\r\n",
		"chunk":               "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
		"escapes":             "HTTP/1.1 \x1b[31m2%s\x00 OK\r\n\r\n",
	} {
		t.Run(reason, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assertion := r.FormValue("assertion")
				_, signed, _ := strings.Cut(assertion, ".")
				secret("an assertion", signed)
				conn, _, err := w.(http.Hijacker).Hijack()
				if err == nil {
					if reason == "part" {
						signed = signed[50:] // from where it does not look like a JWT
					}
					fmt.Fprintf(conn, echo, signed)
					conn.Close()
				}
			}))
			defer server.Close()
			env := Environment{Issuer: server.URL, TokenURL: server.URL + "/token"}
			x := newExchange(env, "c", testCredential(), nil, slog.New(slog.DiscardHandler))
			got, err := x.signAndPost(context.Background(), &Request{Scope: "s"}, 0)
			require.Error(t, err, "%v", got)
			require.NotContains(t, err.Error(), "\x1b")
			tellError(err)
		})
	}
}

func allocated() int {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

func gzipBomb(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	require.NoError(t, err)
	_, err = io.CopyN(z, zeros{}, size)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
