package maskinportentest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"
)

// Handle puts an API beside the Fake: at a host (a name, or name:port), for calls
// through [Fake.Transport], or at a path below the Fake's own address, where a
// slash at the end takes all that is below it. It replaces what was there.
func (f *Fake) Handle(hostOrPath string, api http.Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(hostOrPath, "/") {
		hostOrPath = strings.ToLower(hostOrPath)
	}
	f.hosts[hostOrPath] = api
}

// handlerAt is the API at a path: that of the longest fitting name.
func (f *Fake) handlerAt(path string) http.Handler {
	f.mu.Lock()
	defer f.mu.Unlock()
	best := ""
	for name := range f.hosts {
		fits := name == path || strings.HasSuffix(name, "/") && strings.HasPrefix(path, name)
		if fits && strings.HasPrefix(name, "/") && len(name) > len(best) {
			best = name
		}
	}
	if best == "" {
		return http.NotFoundHandler()
	}
	return f.hosts[best]
}

// Transport calls the Fake and what stands beside it in memory: Maskinporten,
// Altinn's exchange and the self-service API at their own addresses, APIs at
// those given to [Fake.Handle]. Any other host is not found, as if the network knew it not.
// It works with a server too.
//
// An answer is made on the goroutine that asks, and is whole before it is
// returned. The request's context is obeyed, as far as the handler does.
func (f *Fake) Transport() http.RoundTripper { return HandlerTransport(hosts{f}) }

// HandlerTransport calls h in memory: each RoundTrip runs h to its end, on the
// same goroutine. A handler that panics with [http.ErrAbortHandler] breaks the
// connection off, as it does in a server. The Date of an answer is time.Now's
// unless h sets it.
func HandlerTransport(h http.Handler) http.RoundTripper { return memory{h} }

// hosts finds the handler for a request by its host.
type hosts struct{ fake *Fake }

func (h hosts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	api := h.fake.handlerFor(r)
	if api == nil {
		panic(&net.DNSError{Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true})
	}
	api.ServeHTTP(w, r)
}

func (f *Fake) handlerFor(r *http.Request) http.Handler {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range []string{strings.ToLower(r.URL.Host), strings.ToLower(r.URL.Hostname())} {
		if api, ok := f.hosts[name]; ok {
			return api
		}
		switch name {
		case hostOf(f.env.Issuer), hostOf(f.env.TokenURL), hostOf(f.env.JWKSURL),
			"platform.altinn.no", "platform.tt02.altinn.no", "api.samarbeid.digdir.no", "api.test.samarbeid.digdir.no":
			return f
		}
	}
	return nil
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

type memory struct{ handler http.Handler }

// RoundTrip makes one call, on the caller's goroutine.
func (m memory) RoundTrip(req *http.Request) (*http.Response, error) {
	body := req.Body
	if body == nil {
		body = http.NoBody
	}
	defer body.Close()
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if req.URL == nil || req.URL.Host == "" {
		return nil, errors.New("maskinportentest: the request has no host")
	}
	recorder := httptest.NewRecorder()
	whole, err := m.serve(recorder, incoming(req, body))
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return answerTo(req, recorder, whole), nil
}

// incoming is req as a server sees it.
func incoming(req *http.Request, body io.ReadCloser) *http.Request {
	r := req.Clone(req.Context())
	r.Body = body
	r.GetBody = nil
	r.Response = nil
	r.RequestURI = req.URL.RequestURI()
	r.RemoteAddr = "192.0.2.1:1234" // TEST-NET-1
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if r.URL.Path == "" {
		r.URL.Path = "/"
	}
	if r.URL.Scheme == "https" {
		r.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: r.URL.Hostname()}
	}
	return r
}

// serve runs the handler. It reports whether the answer is whole; err is for a
// connection that gave none.
func (m memory) serve(recorder *httptest.ResponseRecorder, r *http.Request) (whole bool, err error) {
	defer func() {
		switch p := recover(); p := p.(type) {
		case nil:
		case *net.DNSError:
			err = &net.OpError{Op: "dial", Net: "tcp", Err: p}
		default:
			if p != http.ErrAbortHandler {
				panic(p)
			}
			if recorder.Body.Len() == 0 {
				err = io.EOF
			}
		}
	}()
	m.handler.ServeHTTP(recorder, r)
	return true, nil
}

func answerTo(req *http.Request, recorder *httptest.ResponseRecorder, whole bool) *http.Response {
	resp := recorder.Result()
	if resp.Header.Get("Date") == "" {
		resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	content := recorder.Body.Bytes()
	resp.ContentLength = int64(len(content))
	switch {
	case req.Method == http.MethodHead:
		resp.Body = http.NoBody
	case whole:
		resp.Body = io.NopCloser(bytes.NewReader(content))
	default:
		resp.ContentLength = -1
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(content), cutOff{}))
	}
	resp.Request = req
	resp.TLS = nil
	if req.URL.Scheme == "https" {
		resp.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: req.URL.Hostname()}
	}
	return resp
}

// cutOff is where a connection broke off.
type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
