package otelmaskinporten

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/maskinporten-go/maskinporten"
)

const (
	clientIDKey       = attribute.Key("maskinporten.client_id")
	credentialTypeKey = attribute.Key("maskinporten.credential.type")
	operationKey      = attribute.Key("maskinporten.store.operation")
	resultKey         = attribute.Key("maskinporten.store.result")
)

// RegisterStats has meter observe what client's [maskinporten.Client.Stats]
// says, whenever metrics are collected. unregister ends that; a client lives as
// long as it is registered. Several clients of one program are told apart by
// maskinporten.client_id. Of those with one id, such as a client and what its
// WithExchange returns, register one.
func RegisterStats(meter metric.Meter, client *maskinporten.Client) (unregister func() error, err error) {
	o := statsObserver{client: client, about: clientIDKey.String(client.ClientID())}
	var instruments []metric.Observable
	gauge := func(to *metric.Float64ObservableGauge, name, unit, description string) {
		if err == nil {
			*to, err = meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
			instruments = append(instruments, *to)
		}
	}
	count := func(to *metric.Int64ObservableUpDownCounter, name, unit, description string) {
		if err == nil {
			*to, err = meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
			instruments = append(instruments, *to)
		}
	}
	count(&o.entries, "maskinporten.token.cache.entries", "{entry}", "Tokens, and failures to get one, that are remembered.")
	count(&o.waiters, "maskinporten.token.cache.waiters", "{call}", "Calls that wait for a token now.")
	gauge(&o.expiry, "maskinporten.credential.expiry", "s", "Time until the certificate, or the registered key, expires.")
	gauge(&o.skew, "maskinporten.clock.skew", "s", "Maskinporten's clock minus this machine's.")
	if err == nil {
		o.requests, err = meter.Int64ObservableCounter("maskinporten.store.requests",
			metric.WithUnit("{request}"), metric.WithDescription("Operations of the token store."))
		instruments = append(instruments, o.requests)
	}
	if err != nil {
		return nil, err
	}
	registration, err := meter.RegisterCallback(o.observe, instruments...)
	if err != nil {
		return nil, err
	}
	return registration.Unregister, nil
}

type statsObserver struct {
	client           *maskinporten.Client
	about            attribute.KeyValue // the same instruments may observe another client
	entries, waiters metric.Int64ObservableUpDownCounter
	expiry, skew     metric.Float64ObservableGauge
	requests         metric.Int64ObservableCounter
}

func (o *statsObserver) observe(_ context.Context, to metric.Observer) error {
	s := o.client.Stats()
	to.ObserveInt64(o.entries, int64(s.Entries), metric.WithAttributes(o.about))
	to.ObserveInt64(o.waiters, int64(s.Waiters), metric.WithAttributes(o.about))
	to.ObserveFloat64(o.skew, s.ClockSkew.Seconds(), metric.WithAttributes(o.about))
	if !s.NotAfter.IsZero() {
		kind := "certificate"
		if s.Credential.Certificate() == nil {
			kind = "key"
		}
		to.ObserveFloat64(o.expiry, time.Until(s.NotAfter).Seconds(), metric.WithAttributes(o.about, credentialTypeKey.String(kind)))
	}
	for request, n := range s.StoreRequests {
		to.ObserveInt64(o.requests, n, metric.WithAttributes(o.about, operationKey.String(request.Operation), resultKey.String(request.Result)))
	}
	return nil
}
