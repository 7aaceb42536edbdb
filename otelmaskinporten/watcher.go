package otelmaskinporten

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/maskinporten-go/maskinporten"
)

// watcher is what the functions of a trace share.
type watcher struct {
	tracer          oteltrace.Tracer
	server          []attribute.KeyValue
	scope, consumer bool

	request, fetch, wait metric.Float64Histogram

	recent recentFetches
}

// buckets are those of OpenTelemetry's HTTP client durations, and two more: an
// attempt may take 20 s, and a fetch 30.
var buckets = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 30)

func (w *watcher) makeInstruments(meter metric.Meter) (err error) {
	for _, i := range []struct {
		histogram         *metric.Float64Histogram
		name, description string
	}{
		{&w.request, "maskinporten.token.request.duration", "Duration of one attempt to get a token: sending a grant, and the answer of the token endpoint."},
		{&w.fetch, "maskinporten.token.fetch.duration", "Duration of one fetch of a token, of up to three attempts, or from the store."},
		{&w.wait, "maskinporten.token.wait.duration", "How long a call waited for a fetch."},
	} {
		if *i.histogram, err = meter.Float64Histogram(i.name, metric.WithUnit("s"), metric.WithDescription(i.description), buckets); err != nil {
			return err
		}
	}
	return nil
}

type (
	fetchKey        struct{}
	attemptStartKey struct{}
)

// fetchState is kept beside the span in the context, for a trace that is wrapped
// around this one may put a span of its own there.
type fetchState struct {
	start time.Time
	span  oteltrace.Span
}

func (w *watcher) fetchStart(ctx context.Context, f maskinporten.Fetch) context.Context {
	attributes := append(w.about(f.Request), w.server...)
	attributes = append(attributes, fetchIDKey.Int64(int64(f.ID)), backgroundKey.Bool(f.Background))
	if w.consumer && f.Request.ConsumerOrg != "" {
		attributes = append(attributes, consumerKey.String(f.Request.ConsumerOrg))
	}
	parent := oteltrace.SpanContextFromContext(ctx)
	ctx, span := w.tracer.Start(ctx, "maskinporten.fetch", oteltrace.WithAttributes(attributes...))
	w.recent.add(recentFetch{id: f.ID, parent: parent, span: span.SpanContext()})
	return context.WithValue(ctx, fetchKey{}, fetchState{time.Now(), span})
}

func (w *watcher) fetchDone(ctx context.Context, f maskinporten.Fetch, r maskinporten.FetchResult) {
	state, ok := ctx.Value(fetchKey{}).(fetchState)
	if !ok {
		return
	}
	state.span.SetAttributes(attemptsKey.Int(r.Attempts), fromStoreKey.Bool(r.FromStore))
	w.end(state.span, r.Err)
	attributes := append(w.about(f.Request), backgroundKey.Bool(f.Background), fromStoreKey.Bool(r.FromStore))
	record(oteltrace.ContextWithSpan(ctx, state.span), w.fetch, state.start, append(attributes, errorType(r.Err)...))
}

func (w *watcher) attemptStart(ctx context.Context, _ maskinporten.Fetch, _ int) context.Context {
	return context.WithValue(ctx, attemptStartKey{}, time.Now())
}

func (w *watcher) attemptDone(ctx context.Context, f maskinporten.Fetch, attempt int, err error) {
	failed := errorType(err)
	if state, ok := ctx.Value(fetchKey{}).(fetchState); ok && err != nil {
		state.span.AddEvent("maskinporten.attempt.failed",
			oteltrace.WithAttributes(append(failed, attemptKey.Int(attempt))...))
	}
	if start, ok := ctx.Value(attemptStartKey{}).(time.Time); ok {
		record(ctx, w.request, start, append(append(w.about(f.Request), w.server...), failed...))
	}
}

// waited makes a span for a call that waited, after the fact. The call that
// started the fetch has one already: that of the fetch.
func (w *watcher) waited(ctx context.Context, f maskinporten.Fetch, d time.Duration, err error) {
	w.wait.Record(ctx, d.Seconds(), metric.WithAttributes(append(w.about(f.Request), errorType(err)...)...))
	caller := oteltrace.SpanContextFromContext(ctx)
	if !caller.IsValid() {
		return
	}
	fetch := w.recent.find(f.ID)
	if fetch.parent.Equal(caller) {
		return
	}
	var links []oteltrace.Link
	if fetch.span.IsValid() {
		links = append(links, oteltrace.Link{SpanContext: fetch.span})
	}
	now := time.Now()
	_, span := w.tracer.Start(ctx, "maskinporten.wait",
		oteltrace.WithTimestamp(now.Add(-d)),
		oteltrace.WithLinks(links...),
		oteltrace.WithAttributes(append(w.about(f.Request), fetchIDKey.Int64(int64(f.ID)))...))
	w.end(span, err, oteltrace.WithTimestamp(now))
}

func (w *watcher) end(span oteltrace.Span, err error, options ...oteltrace.SpanEndOption) {
	if err != nil {
		span.SetAttributes(errorType(err)...)
		description := "" // the server's words may name the customer
		if w.consumer {
			description = err.Error()
		}
		span.SetStatus(codes.Error, description)
	}
	span.End(options...)
}

// about is what may be said of a request anywhere.
func (w *watcher) about(r maskinporten.Request) []attribute.KeyValue {
	if !w.scope {
		return nil
	}
	return []attribute.KeyValue{scopeKey.String(r.Scope)}
}

// record records the time since start. The span in ctx is its exemplar.
func record(ctx context.Context, histogram metric.Float64Histogram, start time.Time, attributes []attribute.KeyValue) {
	histogram.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(attributes...))
}

// recentFetches are the spans of fetches, for those who waited for them and are
// told after the fetch's end. There is room for as many as a client may have
// under way; a wait for an older one gets a span without a link.
type recentFetches struct {
	mu   sync.Mutex
	ring [4096]recentFetch
}

type recentFetch struct {
	id           uint64
	parent, span oteltrace.SpanContext
}

func (r *recentFetches) add(f recentFetch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring[f.id%uint64(len(r.ring))] = f
}

func (r *recentFetches) find(id uint64) recentFetch {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.ring[id%uint64(len(r.ring))]; f.id == id {
		return f
	}
	return recentFetch{}
}
