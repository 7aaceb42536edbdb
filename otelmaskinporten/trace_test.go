package otelmaskinporten_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/otelmaskinporten"
)

var update = flag.Bool("update", false, "write what the code says now into the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run go test -update once")
	require.Equal(t, string(want), got)
}

// ids are 1, 2, 3.
type ids struct {
	mu            sync.Mutex
	traces, spans uint64
}

func (g *ids) NewIDs(ctx context.Context) (id oteltrace.TraceID, span oteltrace.SpanID) {
	g.mu.Lock()
	g.traces++
	binary.BigEndian.PutUint64(id[8:], g.traces)
	g.mu.Unlock()
	return id, g.NewSpanID(ctx, id)
}

func (g *ids) NewSpanID(context.Context, oteltrace.TraceID) (span oteltrace.SpanID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spans++
	binary.BigEndian.PutUint64(span[:], g.spans)
	return span
}

// world is a client that is watched, and the watchers.
type world struct {
	fake    *maskinportentest.Fake
	client  *maskinporten.Client
	tracer  oteltrace.Tracer
	spans   *bytes.Buffer
	metrics *prometheus.Registry
	meters  *sdkmetric.MeterProvider
	trace   *maskinporten.Trace
}

func newWorld(t *testing.T, o otelmaskinporten.Options) *world {
	t.Helper()
	w := &world{fake: maskinportentest.New(), spans: new(bytes.Buffer), metrics: prometheus.NewRegistry()}
	spans, err := stdouttrace.New(stdouttrace.WithWriter(w.spans), stdouttrace.WithPrettyPrint())
	require.NoError(t, err)
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithIDGenerator(&ids{}), sdktrace.WithResource(resource.Empty()))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(w.metrics), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	require.NoError(t, err)
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(resource.Empty()))
	w.tracer, w.meters = tracers.Tracer("test"), meters

	o.TracerProvider, o.MeterProvider, o.Environment = tracers, meters, w.fake.Environment()
	config := w.fake.Config()
	w.trace, err = otelmaskinporten.NewTrace(o)
	require.NoError(t, err)
	config.Trace = w.trace
	config.HTTPClient = &http.Client{Transport: otelhttp.NewTransport(w.fake.Transport(), otelhttp.WithTracerProvider(tracers), otelhttp.WithMeterProvider(sdkmetric.NewMeterProvider()))}
	w.client, err = maskinporten.New(config)
	require.NoError(t, err)
	unregister, err := otelmaskinporten.RegisterStats(meters.Meter("test"), w.client)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unregister()) })
	return w
}

// call is a span of the program's own, in which a token is asked for.
func (w *world) call(t *testing.T, name string, r maskinporten.Request) error {
	ctx, span := w.tracer.Start(t.Context(), name)
	defer span.End()
	_, err := w.client.Token(ctx, r)
	return err
}

// text returns the metrics as Prometheus scrapes them.
func (w *world) text(t *testing.T) string {
	families, err := w.metrics.Gather()
	require.NoError(t, err)
	var b bytes.Buffer
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&b, f)
		require.NoError(t, err)
	}
	return b.String()
}

var (
	inntekt = maskinporten.Request{Scope: "skatteetaten:inntekt", ConsumerOrg: "991825827", PID: "25922947409"}
	other   = maskinporten.Request{Scope: "skatteetaten:inntekt", ConsumerOrg: "314168267"}
)

// live has a client do what it does in two minutes.
func live(t *testing.T, w *world) {
	w.fake.Fail(maskinportentest.Fault{Delay: 300 * time.Millisecond})
	done := make(chan error)
	go func() { done <- w.call(t, "call that starts the fetch", inntekt) }()
	synctest.Wait()
	time.Sleep(100 * time.Millisecond)
	require.NoError(t, w.call(t, "call that waits as well", inntekt))
	require.NoError(t, <-done)
	require.NoError(t, w.call(t, "call that waits for nothing", inntekt))
	_, err := w.client.Token(t.Context(), inntekt) // in no trace
	require.NoError(t, err)

	w.fake.Heal()
	w.fake.FailNext(1, maskinportentest.Fault{Status: 503, RetryAfter: time.Second})
	w.fake.FailNext(1, maskinportentest.Fault{MPCode: "MP-251"})
	require.Error(t, w.call(t, "call that fails", other))

	time.Sleep(95 * time.Second)
	require.NoError(t, w.call(t, "call that finds a stale token", inntekt))
	synctest.Wait()
}

// One call that waited, another that waited for the same, a refusal and a
// refresh in the background, as exported.
func TestSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, otelmaskinporten.Options{Scope: true, Consumer: true})
		live(t, w)
		golden(t, "spans.json", always(t, w.spans.String()))
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, otelmaskinporten.Options{Scope: true, Consumer: true})
		live(t, w)
		golden(t, "metrics.txt", w.text(t))
	})
}

var (
	fetchID = regexp.MustCompile(`("maskinporten\.fetch\.id",\s*"Value": \{\s*"Type": "INT64",\s*"Value": )(\d+)`)
	spanID  = regexp.MustCompile(`"SpanID": "[0-9a-f]+"`)
	traceID = regexp.MustCompile(`Trace id for Digdir: \w+`)
)

// always returns spans in the order of their ids, with what differs from run to
// run made equal.
func always(t *testing.T, exported string) string {
	var list []string
	for d := json.NewDecoder(strings.NewReader(exported)); d.More(); {
		var span json.RawMessage
		require.NoError(t, d.Decode(&span))
		list = append(list, string(span)+"\n")
	}
	slices.SortFunc(list, func(a, b string) int { return strings.Compare(spanID.FindString(a), spanID.FindString(b)) })
	spans := strings.Join(list, "")
	var ids []string
	spans = fetchID.ReplaceAllStringFunc(spans, func(s string) string {
		m := fetchID.FindStringSubmatch(s)
		if !slices.Contains(ids, m[2]) {
			ids = append(ids, m[2])
		}
		return m[1] + strconv.Itoa(slices.Index(ids, m[2])+1)
	})
	return traceID.ReplaceAllString(spans, "Trace id for Digdir: …")
}

// Persons are nowhere, and customers and scopes only where they were asked for.
func TestWhatIsTold(t *testing.T) {
	for _, tt := range []struct {
		options         otelmaskinporten.Options
		scope, consumer bool
	}{
		{otelmaskinporten.Options{}, false, false},
		{otelmaskinporten.Options{Scope: true}, true, false},
		{otelmaskinporten.Options{Consumer: true}, true, true}, // an error names the scope, too
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, tt.options)
			live(t, w)
			spans, metrics := w.spans.String(), w.text(t)
			require.Equal(t, tt.scope, strings.Contains(spans, inntekt.Scope))
			require.Equal(t, tt.options.Scope, strings.Contains(metrics, inntekt.Scope))
			require.Equal(t, tt.consumer, strings.Contains(spans, other.ConsumerOrg))
			require.NotContains(t, metrics, inntekt.ConsumerOrg)
			require.NotContains(t, metrics, other.ConsumerOrg)
			require.NotContains(t, spans+metrics, inntekt.PID)
			require.NotContains(t, spans+metrics, "eyJ")
		})
	}
}

// Of two clients that are observed by one meter, none hides the other.
func TestStatsOfTwoClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, otelmaskinporten.Options{})
		w.fake.AddClient(maskinportentest.Integration{ID: "another"})
		config := w.fake.ConfigFor("another")
		config.Credential = maskinportentest.Certificate{NotAfter: time.Now().Add(time.Hour)}.Credential()
		other, err := maskinporten.New(config)
		require.NoError(t, err)
		unregister, err := otelmaskinporten.RegisterStats(w.meters.Meter("test"), other)
		require.NoError(t, err)
		text := w.text(t)
		require.Equal(t, 2, strings.Count(text, "\nmaskinporten_credential_expiry_seconds{"), text)
		require.Contains(t, text, `maskinporten_credential_expiry_seconds{maskinporten_client_id="another",maskinporten_credential_type="certificate"} 3600`)
		require.NoError(t, unregister())
		require.Equal(t, 1, strings.Count(w.text(t), "\nmaskinporten_credential_expiry_seconds{"))
	})
}

// A trace wrapped around this one may put a span of its own into the context:
// each ends its own.
func TestSpansOfAnotherTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, otelmaskinporten.Options{})
		trace, start := w.trace, w.trace.FetchStart
		var own []oteltrace.Span
		trace.FetchStart = func(ctx context.Context, f maskinporten.Fetch) context.Context {
			ctx, span := w.tracer.Start(start(ctx, f), "around")
			own = append(own, span)
			return ctx
		}
		require.NoError(t, w.call(t, "call", other))
		require.Contains(t, w.spans.String(), `"Name": "maskinporten.fetch"`)
		require.True(t, own[0].IsRecording())
	})
}
