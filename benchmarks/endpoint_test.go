package benchmarks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// endpoint is a token endpoint in memory, the same for all peers: what is
// measured is their work, and neither a network nor a server.
type endpoint struct {
	lifetime time.Duration
	latency  atomic.Int64 // a time.Duration
	down     atomic.Bool
	issued   atomic.Int64
}

var errDown = errors.New("the endpoint is down")

// tokenSize is that of Maskinporten's tokens with a consumer and a supplier.
const tokenSize = 900

func newEndpoint(lifetime time.Duration) *endpoint { return &endpoint{lifetime: lifetime} }

// issue makes a token of its own for every call.
func (e *endpoint) issue(ctx context.Context) (token string, expiry time.Time, err error) {
	if d := time.Duration(e.latency.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return "", time.Time{}, ctx.Err()
		}
	}
	if e.down.Load() {
		return "", time.Time{}, errDown
	}
	n := e.issued.Add(1)
	token = fmt.Sprintf("%0*d", tokenSize, n)
	return token, time.Now().Add(e.lifetime), nil
}

// RoundTrip answers as Maskinporten does, and as GitHub does to ghinstallation.
func (e *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	token, expiry, err := e.issue(req.Context())
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": e.lifetime.Seconds(),
		"token": token, "expires_at": expiry,
	})
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{"Content-Type": {"application/json"}},
		Body:       io.NopCloser(strings.NewReader(string(body))),
		Request:    req,
	}, nil
}
