package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

const scope = "skatteetaten:inntekt"

// customers are synthetic organisations. The last one has delegated nothing
// for a part of the script.
var customers = []string{"991825827", "314168267", "310155128", "210155120"}

// misbehaving is a Maskinporten with an API beside it.
type misbehaving struct {
	*maskinportentest.Fake
	server *httptest.Server
}

func newMisbehaving() *misbehaving {
	m := &misbehaving{Fake: maskinportentest.NewServer()}
	m.SetTokenLifetime(8 * time.Second) // so that a script of minutes shows what days do
	m.server = httptest.NewServer(m.Guard(scope, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	return m
}

// config is the client's, with a certificate that has forty days left.
func (m *misbehaving) config() maskinporten.Config {
	config := m.Config()
	config.Credential = maskinportentest.Certificate{NotAfter: time.Now().Add(40 * 24 * time.Hour)}.Credential()
	return config
}

func (m *misbehaving) api() *url.URL {
	u, _ := url.Parse(m.server.URL)
	return u
}

func (m *misbehaving) Close() {
	m.server.Close()
	m.Fake.Close()
}

// play goes through the script, one step after the other.
func (m *misbehaving) play(ctx context.Context, step time.Duration, log *slog.Logger) {
	usual := maskinportentest.Fault{Delay: 40 * time.Millisecond}
	for _, part := range []struct {
		name       string
		begin, end func()
	}{
		{"all is well", func() {}, func() {}},
		{"a customer has not delegated", func() {
			m.Fail(maskinportentest.Fault{MPCode: "MP-251", When: func(g maskinportentest.Grant) bool { return g.Claims["consumer_org"] == customers[3] }})
		}, func() {}},
		{"it is slow", func() { m.Fail(maskinportentest.Fault{Delay: 900 * time.Millisecond}) }, func() {}},
		{"it is away", func() { m.Fail(maskinportentest.Fault{Status: http.StatusServiceUnavailable}) }, func() {}},
		{"its clock and ours differ", func() { m.SetClock(7 * time.Second) }, func() { m.SetClock(0) }},
		{"all is well again", func() {}, func() {}},
	} {
		log.Info("script", "part", part.name)
		m.Fail(usual)
		part.begin()
		select {
		case <-time.After(step):
		case <-ctx.Done():
		}
		part.end()
	}
}
