package maskinporten

import (
	"context"
	"fmt"
	"sync/atomic"
)

// Prefetched is one Request that [Client.Prefetch] is done with.
type Prefetched struct {
	Request     Request
	Err         error // nil: its token is at hand
	Done, Total int
}

// Prefetch gets tokens for many requests ahead of time, say for all customers
// at start-up, so that no call waits for them later. Those that are not at hand
// are fetched, at most concurrency at once (8 if it is not positive). What fails
// for one has no effect on the others.
//
// progress, if not nil, is called after each, one call at a time and on the
// caller's goroutine. When ctx ends, what has not been fetched fails with its
// error.
//
// The error is a *[PrefetchError], which says which requests failed and why.
func (c *Client) Prefetch(ctx context.Context, requests []Request, concurrency int, progress func(Prefetched)) error {
	return prefetch(ctx, c.Token, requests, concurrency, progress)
}

// PrefetchError is what could not be fetched. errors.Is and errors.As look
// into each of its errors.
type PrefetchError struct {
	Failed map[Request]error
	Total  int // requests there were

	first error
}

// Error is one line, with the first that failed.
func (e *PrefetchError) Error() string {
	return fmt.Sprintf("maskinporten: %d of %d requests got no token; the first: %v", len(e.Failed), e.Total, e.first)
}

// Unwrap is all that failed, in no order.
func (e *PrefetchError) Unwrap() []error {
	errs := make([]error, 0, len(e.Failed))
	for _, err := range e.Failed {
		errs = append(errs, err)
	}
	return errs
}

func prefetch(ctx context.Context, token func(context.Context, Request) (*Token, error), requests []Request, concurrency int, progress func(Prefetched)) error {
	const usual = 8
	if concurrency <= 0 {
		concurrency = usual
	}
	var next atomic.Int64
	results := make(chan Prefetched)
	left := make(chan struct{}) // progress panicked
	defer close(left)
	for range min(concurrency, len(requests)) {
		go func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(requests)) {
					return
				}
				_, err := token(ctx, requests[i])
				select {
				case results <- Prefetched{Request: requests[i], Err: err}:
				case <-left:
					return
				}
			}
		}()
	}
	failed := &PrefetchError{Failed: make(map[Request]error), Total: len(requests)}
	for done := range requests {
		p := <-results
		p.Done, p.Total = done+1, len(requests)
		if p.Err != nil {
			failed.Failed[p.Request] = p.Err
			if failed.first == nil {
				failed.first = p.Err
			}
		}
		if progress != nil {
			progress(p)
		}
	}
	if len(failed.Failed) == 0 {
		return nil
	}
	return failed
}
