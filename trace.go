package maskinporten

import (
	"context"
	"sync/atomic"
	"time"
)

// Trace is a set of functions that are called while tokens are fetched, for
// tracing and metrics, as net/http/httptrace.ClientTrace is for connections.
// Package otelmaskinporten has one for OpenTelemetry. Any of them may be nil.
//
// They are called where there is something to wait for: never for a token that
// is at hand. A call that starts a fetch and waits for it gives the fetch the
// values of its context, but neither its end nor its httptrace hooks, for the
// fetch may outlive the call. A fetch in the background, which nobody waits
// for when it starts, has a context of its own.
//
// Functions are called from several goroutines at once. They must not block:
// what waits for the token waits for them.
type Trace struct {
	// FetchStart is called before anything else is done for a token. The context
	// it returns goes to all that follows in this fetch, to the store, the
	// credential source and the HTTP client.
	FetchStart func(ctx context.Context, f Fetch) context.Context

	// FetchDone is called when there is a token or an error, before those who
	// wait are told. ctx is what FetchStart returned.
	FetchDone func(ctx context.Context, f Fetch, r FetchResult)

	// AttemptStart is called before a grant is signed and sent: attempt is 1 for
	// the first, and grows by one. The context it returns goes to the signer's
	// source and to the HTTP request. Two attempts of one fetch may overlap.
	AttemptStart func(ctx context.Context, f Fetch, attempt int) context.Context

	// AttemptDone is called with what became of an attempt. ctx is what
	// AttemptStart returned.
	AttemptDone func(ctx context.Context, f Fetch, attempt int, err error)

	// Waited is called in the goroutine of a call that had to wait for a fetch,
	// its own or another's, before the call returns: ctx is the call's own, d is
	// how long it waited, and err is what it returns.
	Waited func(ctx context.Context, f Fetch, d time.Duration, err error)
}

// Fetch is one fetch of a token, of up to three attempts.
type Fetch struct {
	ID         uint64 // unique in the process, so that a call can be linked to the fetch it waited for
	Request    Request
	Background bool // nobody waited for it when it started
}

// FetchResult is what became of a fetch.
type FetchResult struct {
	Err       error // nil: there is a token
	Attempts  int   // grants that were signed; 0 for a token from the store
	FromStore bool  // the token came from Config.Store
}

var fetchIDs atomic.Uint64

func (t *Trace) fetchStart(ctx context.Context, f Fetch) context.Context {
	if t == nil || t.FetchStart == nil {
		return ctx
	}
	return t.FetchStart(ctx, f)
}

func (t *Trace) fetchDone(ctx context.Context, f Fetch, r FetchResult) {
	if t != nil && t.FetchDone != nil {
		t.FetchDone(ctx, f, r)
	}
}

func (t *Trace) attemptStart(ctx context.Context, f Fetch, attempt int) context.Context {
	if t == nil || t.AttemptStart == nil {
		return ctx
	}
	return t.AttemptStart(ctx, f, attempt)
}

func (t *Trace) attemptDone(ctx context.Context, f Fetch, attempt int, err error) {
	if t != nil && t.AttemptDone != nil {
		t.AttemptDone(ctx, f, attempt, err)
	}
}
