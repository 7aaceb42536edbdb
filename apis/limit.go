package apis

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"strings"

	"github.com/maskinporten-go/maskinporten"
)

// limiter lets no more calls through than the API takes at a time. It stands
// above the Transport, so that a call which has waited for its place gets its
// token afterwards, and keeps the place when the call is repeated after a 401.
type limiter struct {
	api      apiKey
	name     string
	host     string
	consumer string
	client   *maskinporten.Client
	places   *places
	base     *maskinporten.Transport
}

// RoundTrip makes one call when it has a place.
func (l *limiter) RoundTrip(req *http.Request) (*http.Response, error) {
	if !l.places.limited(l.api) || req.URL == nil || !strings.EqualFold(req.URL.Host, l.host) {
		return l.base.RoundTrip(req) // a call to another host it refuses at once
	}
	ctx := req.Context()
	place, err := l.places.acquire(ctx, limitKey{l.api, l.organisation(ctx)}, l.name, l.client.Logger())
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	handedOver := false
	defer func() {
		if !handedOver { // also when the base panics
			l.places.release(place)
		}
	}()
	resp, err := l.base.RoundTrip(req)
	if err != nil || resp.Body == nil || resp.Body == http.NoBody {
		return resp, err
	}
	handedOver = true
	// A caller may forget the body; its context then gives the place back.
	stop := context.AfterFunc(ctx, func() { l.places.release(place) })
	resp.Body = releasing(resp.Body, func() {
		stop()
		l.places.release(place)
	})
	return resp, nil
}

// organisation is the one whose places are used.
func (l *limiter) organisation(ctx context.Context) string {
	if l.consumer != "" {
		return l.consumer
	}
	return cmp.Or(l.client.OrgNumber(ctx), l.client.ClientID())
}

// CloseIdleConnections passes through to the base, for [http.Client.CloseIdleConnections].
func (l *limiter) CloseIdleConnections() { l.base.CloseIdleConnections() }

// releasing returns body, which calls release when it has been read to its end
// or is closed. What could be written to stays so: after a 101 the body is the
// connection.
func releasing(body io.ReadCloser, release func()) io.ReadCloser {
	b := &releasingBody{body, release}
	if w, ok := body.(io.Writer); ok {
		return &struct {
			*releasingBody
			io.Writer
		}{b, w}
	}
	return b
}

type releasingBody struct {
	io.ReadCloser
	release func()
}

func (b *releasingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.release()
	}
	return n, err
}

func (b *releasingBody) Close() error {
	err := b.ReadCloser.Close()
	b.release()
	return err
}
