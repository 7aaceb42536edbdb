package otelmaskinporten_test

import (
	"context"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/otelmaskinporten"
)

// Each histogram leads to the trace of a call that it has counted.
func TestExemplars(t *testing.T) {
	reader, tracers := sdkmetric.NewManualReader(), sdktrace.NewTracerProvider()
	trace, err := otelmaskinporten.NewTrace(otelmaskinporten.Options{TracerProvider: tracers, MeterProvider: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))})
	require.NoError(t, err)
	config := maskinportentest.New().Config()
	config.Trace = trace
	client, err := maskinporten.New(config)
	require.NoError(t, err)
	ctx, span := tracers.Tracer("test").Start(t.Context(), "call")
	_, err = client.Token(ctx, maskinporten.Request{Scope: "a:one"})
	require.NoError(t, err)
	span.End()

	var collected metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(context.Background(), &collected))
	seen := make(map[string]string)
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			for _, point := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				for _, exemplar := range point.Exemplars {
					seen[m.Name] = hex.EncodeToString(exemplar.TraceID)
				}
			}
		}
	}
	id := span.SpanContext().TraceID().String()
	require.Equal(t, map[string]string{
		"maskinporten.token.request.duration": id,
		"maskinporten.token.fetch.duration":   id,
		"maskinporten.token.wait.duration":    id,
	}, seen)
}
