// Package otelmaskinporten shows what a Maskinporten client does to
// OpenTelemetry: traces and metrics of its fetches, and of the calls that had
// to wait for one.
//
//	trace, err := otelmaskinporten.NewTrace(otelmaskinporten.Options{Environment: maskinporten.Prod})
//	client, err := maskinporten.New(maskinporten.Config{…, Trace: trace,
//		HTTPClient: &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport)},
//	})
//	unregister, err := otelmaskinporten.RegisterStats(otel.Meter("my-service"), client)
//
// # Spans
//
// maskinporten.fetch is one fetch of a token, from the store or from
// Maskinporten, with an event for each attempt that failed. It is a child of
// the call that started it and waited, and otelhttp's span of the POST is a
// child of it. A fetch in the background is a trace of its own.
//
// maskinporten.wait is the waiting of any other call, a child of that call's
// span, with a link to the fetch that it waited for. Calls that are in no trace
// get none, and neither do calls that got a token at once.
//
// # Metrics
//
//	maskinporten.token.request.duration   histogram  s          one attempt: sending a grant, and Maskinporten's answer
//	maskinporten.token.fetch.duration     histogram  s          one fetch, of up to three attempts, or from the store
//	maskinporten.token.wait.duration      histogram  s          one call that had to wait for a fetch
//	maskinporten.token.cache.entries      updown     {entry}    tokens and failures that are remembered
//	maskinporten.token.cache.waiters      updown     {call}     calls that wait now
//	maskinporten.credential.expiry        gauge      s          what the certificate, or the registered key, has left
//	maskinporten.clock.skew               gauge      s          Maskinporten's clock minus this machine's
//	maskinporten.store.requests           counter    {request}  operations of Config.Store, by operation and result
//
// The first three come from the Trace, and name the span in their context as
// an exemplar. The others come from [RegisterStats]; updown is an UpDownCounter,
// which Prometheus shows as a gauge.
//
// There is no maskinporten.token.cache.lookups: to count hits, readers of one
// token on many processors would write to one counter, which costs more than
// the hit does. Calls that missed are the count of wait.duration, but for
// those that were told a refusal that is remembered.
//
// # Attributes
//
// error.type is Maskinporten's code (MP-121), an OAuth code, an HTTP status, or
// one of timeout, canceled, unavailable and _OTHER: a bounded set.
// server.address is the token endpoint's host. maskinporten.client_id is on
// what RegisterStats observes. Scopes are there by choice
// ([Options.Scope]). Customers are never on metrics, and on spans by choice
// ([Options.Consumer]). Persons are never anywhere.
package otelmaskinporten

import (
	"fmt"
	"net/url"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/maskinporten-go/maskinporten"
)

// Options is what can be chosen. The zero value will do.
type Options struct {
	// TracerProvider and MeterProvider make what is needed. Nil means the
	// global ones.
	TracerProvider oteltrace.TracerProvider
	MeterProvider  metric.MeterProvider

	// Environment is the client's. It gives server.address, which is left out
	// for the zero Environment.
	Environment maskinporten.Environment

	// Scope puts the scope on spans and metrics, as maskinporten.scope. There
	// are as many time series as there are scopes.
	Scope bool

	// Consumer puts the organisation number of the customer on spans, as
	// maskinporten.consumer_org, and the text of errors, which may name the
	// customer. It is never on metrics.
	Consumer bool
}

const scopeName = "github.com/maskinporten-go/maskinporten/otelmaskinporten"

// Attributes of this package's own.
const (
	scopeKey      = attribute.Key("maskinporten.scope")
	consumerKey   = attribute.Key("maskinporten.consumer_org")
	fetchIDKey    = attribute.Key("maskinporten.fetch.id")
	backgroundKey = attribute.Key("maskinporten.fetch.background")
	fromStoreKey  = attribute.Key("maskinporten.fetch.from_store")
	attemptsKey   = attribute.Key("maskinporten.fetch.attempts")
	attemptKey    = attribute.Key("maskinporten.attempt")
)

// NewTrace returns a trace for maskinporten.Config that makes spans and
// metrics. It may be shared by clients of one environment. An error is one of
// the meter provider's, or of the environment's token URL.
func NewTrace(o Options) (*maskinporten.Trace, error) {
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	server, err := url.Parse(o.Environment.TokenURL)
	if err != nil {
		return nil, fmt.Errorf("otelmaskinporten: Environment.TokenURL: %w", err)
	}
	w := &watcher{
		tracer:   o.TracerProvider.Tracer(scopeName, oteltrace.WithSchemaURL(semconv.SchemaURL)),
		scope:    o.Scope,
		consumer: o.Consumer,
	}
	if host := server.Hostname(); host != "" {
		w.server = []attribute.KeyValue{semconv.ServerAddress(host)}
	}
	if err := w.makeInstruments(o.MeterProvider.Meter(scopeName, metric.WithSchemaURL(semconv.SchemaURL))); err != nil {
		return nil, fmt.Errorf("otelmaskinporten: making the instruments: %w", err)
	}
	return &maskinporten.Trace{
		FetchStart:   w.fetchStart,
		FetchDone:    w.fetchDone,
		AttemptStart: w.attemptStart,
		AttemptDone:  w.attemptDone,
		Waited:       w.waited,
	}, nil
}
