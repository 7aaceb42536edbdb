package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"
)

// A firewall may forget a connection without a word: what is sent on it gets
// no answer, and a request waits until its time is over. Over HTTP/2 such a
// connection is found by pings. HTTP/1.1 has none, so there silence alone
// makes it a suspect, and a new connection is tried beside it.
const (
	// maxSilence is how long a connection may say nothing before it is pinged
	// or suspected, and pingTimeout how long the answer to a ping may take.
	maxSilence  = 5 * time.Second
	pingTimeout = 5 * time.Second

	// idleTimeout is for transports that would keep idle connections for ever.
	idleTimeout = 90 * time.Second
)

// withPings returns a copy of t that pings silent HTTP/2 connections. The copy
// has connections of its own. A transport that golang.org/x/net/http2 has
// configured keeps its connections there, out of reach: it is returned as it is.
func withPings(t *http.Transport) *http.Transport {
	c := t.Clone()
	if c.TLSNextProto["h2"] != nil {
		return t
	}
	if c.TLSNextProto == nil && c.TLSClientConfig != nil && slices.Contains(c.TLSClientConfig.NextProtos, "h2") {
		// Clone has taken over that t offers HTTP/2, and not the handler.
		c.ForceAttemptHTTP2 = true
	}
	if c.HTTP2 == nil {
		c.HTTP2 = new(http.HTTP2Config)
	}
	if c.HTTP2.SendPingTimeout == 0 {
		c.HTTP2.SendPingTimeout = maxSilence
	}
	if c.HTTP2.PingTimeout == 0 {
		c.HTTP2.PingTimeout = pingTimeout
	}
	if c.IdleConnTimeout == 0 {
		c.IdleConnTimeout = idleTimeout
	}
	if c.OnProxyConnectResponse == nil {
		c.OnProxyConnectResponse = checkConnect
	}
	return c
}

// Connection is what is known of the connection that one request went out on.
type Connection struct {
	ctx      context.Context
	onSilent func()

	mu     sync.Mutex
	kept   bool
	silent bool
	over   bool
	calm   func() // ends the wait for silence
}

// Watch returns a context for one request, and the connection that the request
// will go out on. onSilent is called, at most once and on a goroutine of its
// own, if that is a kept HTTP/1.1 connection on which no answer has begun after
// five seconds; after ten, if it carried another answer in the five seconds
// before. It is not called once [Connection.End] has been.
func Watch(ctx context.Context, onSilent func()) (context.Context, *Connection) {
	c := &Connection{ctx: ctx, onSilent: onSilent, calm: func() {}}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn:              c.got,
		GotFirstResponseByte: c.answered,
	}), c
}

func (c *Connection) got(info httptrace.GotConnInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calm()
	c.kept = info.Reused
	if c.over || !c.kept || isHTTP2(info) {
		return
	}
	patience := maxSilence
	if info.IdleTime < maxSilence {
		patience = 2 * maxSilence // it was alive just now: the server is slow, more likely
	}
	wait, calm := context.WithTimeout(c.ctx, patience)
	c.calm = calm
	context.AfterFunc(wait, func() {
		if wait.Err() == context.DeadlineExceeded && c.ctx.Err() == nil {
			c.suspect()
		}
	})
}

func isHTTP2(info httptrace.GotConnInfo) bool {
	conn, ok := info.Conn.(interface{ ConnectionState() tls.ConnectionState })
	return ok && conn.ConnectionState().NegotiatedProtocol == "h2"
}

func (c *Connection) suspect() {
	c.mu.Lock()
	silent := !c.silent && !c.over
	c.silent = c.silent || silent
	c.mu.Unlock()
	if silent {
		c.onSilent()
	}
}

func (c *Connection) answered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calm()
}

// End is called when the request is over. It reports whether the connection
// was a kept one, and whether onSilent has been called.
func (c *Connection) End() (kept, silent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.calm()
	return c.kept, c.silent
}

// Send calls send, which makes one request by hc with the context given. Where
// that meets silence on a kept connection (see [Watch]) it also calls company,
// unless that is nil, whose request goes out on a new connection: the first
// result that is final counts, and the other call is told to end by its
// context. If neither is final, send's counts. Send reports whether company was
// called.
//
// After a network error on a kept connection the others that are kept are
// closed too, so that the next attempt does not meet another dead one.
func Send[T any](ctx context.Context, hc *http.Client, final func(error) bool, send, company func(context.Context) (T, error)) (value T, accompanied bool, err error) {
	ctx, dropBoth := context.WithCancel(ctx)
	defer dropBoth()
	first, drop := context.WithCancel(ctx)
	defer drop()

	type result struct {
		value T
		err   error
	}
	beside := make(chan result, 1)
	traced, conn := Watch(first, func() {
		if company == nil {
			return
		}
		r := result{err: errAbandoned}
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("the credential source, the signer or the HTTP client panicked with a %T", p)
			}
			beside <- r
			if final(r.err) {
				drop()
			}
		}()
		hc.CloseIdleConnections()
		r.value, r.err = company(ctx)
	})
	value, err = send(traced)
	kept, silent := conn.End()
	var network *NetworkError
	if kept && errors.As(err, &network) {
		hc.CloseIdleConnections()
	}
	accompanied = silent && company != nil
	if accompanied && !final(err) {
		if r := <-beside; final(r.err) {
			return r.value, true, r.err
		}
	}
	return value, accompanied, err
}

var errAbandoned = errors.New("the credential source, the signer or the HTTP client ended the goroutine it was called on")
