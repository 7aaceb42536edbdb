package maskinporten

import (
	"context"
	"fmt"
	"maps"
	"slices"
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
// Without one, all tokens are at hand. More requests than a client holds tokens
// for (100,000) fail before anything is sent; a token that has expired or made
// room for others before the last one came is an error, too.
func (c *Client) Prefetch(ctx context.Context, requests []Request, concurrency int, progress func(Prefetched)) error {
	if n := distinct(requests); n > maxEntries {
		return &callError{text: fmt.Sprintf("%d requests are too many to prefetch: a client holds at most %d tokens; ask for fewer, or divide them among several clients", n, maxEntries)}
	}
	failed := &PrefetchError{Failed: make(map[Request]error), Total: len(requests)}
	c.fetchAll(ctx, requests, concurrency, func(p Prefetched) {
		failed.add(p.Request, p.Err)
		if progress != nil {
			progress(p)
		}
	})
	failed.addLost(c, requests)
	if failed.count == 0 {
		return nil
	}
	return failed
}

// distinct returns how many tokens the requests are for.
func distinct(requests []Request) int {
	if len(requests) <= maxEntries {
		return len(requests) // at most
	}
	seen := make(map[Request]struct{}, len(requests))
	for _, r := range requests {
		seen[r.normalized()] = struct{}{}
	}
	return len(seen)
}

// fetchAll calls done with each request that has been asked for.
func (c *Client) fetchAll(ctx context.Context, requests []Request, concurrency int, done func(Prefetched)) {
	const usual = 8
	if concurrency <= 0 {
		concurrency = usual
	}
	var next atomic.Int64
	results := make(chan Prefetched)
	left := make(chan struct{}) // done panicked
	defer close(left)
	for range min(concurrency, len(requests)) {
		go func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(requests)) {
					return
				}
				_, err := c.Token(ctx, requests[i])
				select {
				case results <- Prefetched{Request: requests[i], Err: err}:
				case <-left:
					return
				}
			}
		}()
	}
	for n := range requests {
		p := <-results
		p.Done, p.Total = n+1, len(requests)
		done(p)
	}
}

// PrefetchError is what could not be fetched. errors.Is and errors.As look
// into each of its errors.
type PrefetchError struct {
	Failed map[Request]error // of several alike, one
	Total  int               // requests there were

	count int // requests that failed; those that are alike count each
	first error
}

// Error is one line, with the first that failed.
func (e *PrefetchError) Error() string {
	return fmt.Sprintf("maskinporten: %d of %d requests got no token; the first: %v", e.count, e.Total, e.first)
}

// Unwrap returns all that failed, in no order.
func (e *PrefetchError) Unwrap() []error { return slices.Collect(maps.Values(e.Failed)) }

func (e *PrefetchError) add(r Request, err error) {
	if err == nil {
		return
	}
	e.count++
	e.Failed[r] = err
	if e.first == nil {
		e.first = err
	}
}

// addLost adds the requests whose token came and is not at hand any more. With
// a context that has ended, a token is returned only if it is.
func (e *PrefetchError) addLost(c *Client, requests []Request) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	lost := &callError{text: fmt.Sprintf("the token came, but is not at hand any more: it has expired, been dropped, or made room for others, for a client holds at most %d", maxEntries)}
	failed := maps.Clone(e.Failed)
	for _, r := range requests {
		if _, known := failed[r]; known {
			continue
		}
		if _, err := c.Token(ended, r); err != nil {
			e.add(r, lost)
		}
	}
}
