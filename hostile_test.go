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
