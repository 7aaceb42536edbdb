package maskinporten

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"
)

// Trace is a set of functions that are called while tokens are fetched, for
// tracing and metrics, as net/http/httptrace.ClientTrace is for connections.
// Package otelmaskinporten has one for OpenTelemetry. Any of them may be nil.
//
// They are called where there is something to wait for: never for a token that
// is at hand, or a refusal that is remembered. To ask the source whether it has
// another credential than the one that was refused is no fetch, and nobody is
// told of it; [Stats] does not count it either. A call that starts a fetch and waits for it gives the fetch the
// values of its context, but neither its end nor its httptrace hooks, for the
// fetch may outlive the call. A fetch in the background, which nobody waits
// for when it starts, has a context of its own.
//
// A token of [Client.WithExchange] has a fetch of its own, without attempts,
// around the one of the Maskinporten token that is traded.
//
// Functions are called from several goroutines at once. They must not block:
// what waits for the token waits for them.
type Trace struct {
	// FetchStart is called before a token is looked for, once for each fetch. The context
	// it returns goes to all that follows in this fetch, to the store, the
	// credential source and the HTTP client.
	FetchStart func(ctx context.Context, f Fetch) context.Context

	// FetchDone is called when there is a token or an error, before those who
	// wait are told. ctx is what FetchStart returned. That is so as well for a
	// fetch that is given up because the signer or the HTTP client hangs.
	FetchDone func(ctx context.Context, f Fetch, r FetchResult)

	// AttemptStart is called with a grant that is signed, before it is sent:
	// attempt is 1 for the first, and grows by one. The context it returns goes
	// to the HTTP request. Two attempts of one fetch may overlap. A credential
	// source or a signer that fails is a failed fetch without an attempt.
	AttemptStart func(ctx context.Context, f Fetch, attempt int) context.Context

	// AttemptDone is called with what became of an attempt: the token
	// endpoint's answer, or the lack of one. ctx is what AttemptStart returned. It comes after
	// FetchDone, or never, for an attempt that hangs or that another has overtaken.
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

// FetchResult is what became of a fetch. If another process is fetching the
// token, one in the background ends without an error and without a token: then
// Attempts is 0 and FromStore false.
type FetchResult struct {
	Err       error
	Attempts  int  // grants that were sent
	FromStore bool // the token came from Config.Store
}

// tracedFetch is one fetch, as its trace is told of it. The fetch's context
// holds it, so that attempts find it.
type tracedFetch struct {
	trace *Trace
	Fetch
	attempts atomic.Int64
}

type tracedFetchKey struct{}

// startFetch returns the context for all that is done for f, and what to call
// with its result.
func (t *Trace) startFetch(ctx context.Context, f Fetch) (_ context.Context, done func(fromStore bool, err error)) {
	if t == nil {
		return ctx, func(bool, error) {}
	}
	if t.FetchStart != nil {
		ctx = either(t.FetchStart(ctx, f), ctx)
	}
	traced := &tracedFetch{trace: t, Fetch: f}
	return context.WithValue(ctx, tracedFetchKey{}, traced), func(fromStore bool, err error) {
		if t.FetchDone != nil {
			t.FetchDone(ctx, f, FetchResult{Err: err, Attempts: int(traced.attempts.Load()), FromStore: fromStore})
		}
	}
}

// startAttempt returns the context for one attempt of the fetch that ctx is
// of, and what to call with its error.
func startAttempt(ctx context.Context) (_ context.Context, done func(error)) {
	f, ok := ctx.Value(tracedFetchKey{}).(*tracedFetch)
	if !ok {
		return ctx, func(error) {}
	}
	attempt := int(f.attempts.Add(1))
	if f.trace.AttemptStart != nil {
		ctx = either(f.trace.AttemptStart(ctx, f.Fetch, attempt), ctx)
	}
	return ctx, func(err error) {
		if f.trace.AttemptDone != nil {
			f.trace.AttemptDone(ctx, f.Fetch, attempt, err)
		}
	}
}

// either returns the context that a trace has made, or the one before if it has
// made none.
func either(made, before context.Context) context.Context {
	if made == nil {
		return before
	}
	return made
}

// withoutHooks returns ctx without the hooks of net/http/httptrace, which are
// for the requests of the caller who put them there, and may use what is gone
// when a fetch outlives the call.
func withoutHooks(ctx context.Context) context.Context { return unhooked{ctx} }

type unhooked struct{ context.Context }

// Value knows the hooks by where the type of their key is declared, for that
// is not exported. httptrace keeps a second set for package net.
func (c unhooked) Value(key any) any {
	if t := reflect.TypeOf(key); t != nil {
		switch t.PkgPath() {
		case "net/http/httptrace", "internal/nettrace":
			return nil
		}
	}
	return c.Context.Value(key)
}
