package apis

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// apiKey is an API: production and test are apart by their base URLs.
type apiKey struct{ scope, baseURL string }

// limitKey is an API and the organisation that calls it.
type limitKey struct {
	apiKey
	organisation string
}

// places is who has a place at which API, and who waits for one. A key that
// nobody uses takes no memory.
type places struct {
	mu       sync.Mutex
	capacity map[apiKey]int // the smallest Concurrency of the values that share places
	limits   map[limitKey]*limit
}

// process is the places of the APIs as they are.
var process places

// limit is the calls of one key, guarded by places.mu.
type limit struct {
	underWay list.List // of *place, the oldest call first
	waiting  list.List // of *waiter, the first to come first
	moved    time.Time // when the queue last moved, or began
	watch    *time.Timer
}

// place is that of one call under way.
type place struct {
	key   limitKey
	since time.Time
	in    *list.Element // of limit.underWay; nil once it was given back
}

// waiter is a call that waits. The channel is made by the goroutine that waits
// on it: so no channel passes from one synctest bubble to another.
type waiter struct {
	given chan struct{} // closed once place is set
	place *place
	name  string          // of the API
	ctx   context.Context // of the call, for the log
	log   *slog.Logger
}

// stalledAfter is how long a queue may stand still before it is logged.
const stalledAfter = 10 * time.Second

// restrict notes that the API takes at most concurrency calls at a time; zero
// says nothing.
func (p *places) restrict(api apiKey, concurrency int) {
	if concurrency <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.capacity[api]; ok && known <= concurrency {
		return
	}
	if p.capacity == nil {
		p.capacity = make(map[apiKey]int)
		p.limits = make(map[limitKey]*limit)
	}
	p.capacity[api] = concurrency
}

// limited reports whether a limit on calls to the API is known.
func (p *places) limited(api apiKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.capacity[api] > 0
}

// acquire gets a place for a call to an API that has a limit, and waits for one
// at most as long as ctx lasts.
func (p *places) acquire(ctx context.Context, key limitKey, name string, log *slog.Logger) (*place, error) {
	began := time.Now()
	w := &waiter{given: make(chan struct{}), name: name, ctx: ctx, log: log}
	queued, at := p.enqueue(key, w, began)
	if at != nil {
		return at, nil
	}
	select {
	case <-w.given:
		return w.place, nil
	case <-ctx.Done():
		return nil, p.leave(key, w, queued, began, ctx.Err())
	}
}

// enqueue gives w a place if there is one, and else the end of the queue.
func (p *places) enqueue(key limitKey, w *waiter, now time.Time) (queued *list.Element, at *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.limits[key]
	if l == nil {
		l = &limit{moved: now}
		p.limits[key] = l
	}
	queued = l.waiting.PushBack(w)
	if l.waiting.Len() == 1 {
		l.moved = now
		p.admit(key, l, now)
	}
	return queued, w.place
}

// admit gives free places to those who wait, in their order.
func (p *places) admit(key limitKey, l *limit, now time.Time) {
	for l.waiting.Len() > 0 && l.underWay.Len() < p.capacity[key.apiKey] {
		w := l.waiting.Remove(l.waiting.Front()).(*waiter)
		w.place = &place{key: key, since: now}
		w.place.in = l.underWay.PushBack(w.place)
		l.moved = now
		close(w.given)
	}
	switch {
	case l.waiting.Len() == 0 && l.watch != nil:
		l.watch.Stop()
		l.watch = nil
	case l.waiting.Len() > 0 && l.watch == nil:
		l.watch = time.AfterFunc(stalledAfter, func() { p.logStalled(l) })
	case l.waiting.Len() > 0 && l.moved.Equal(now):
		l.watch.Reset(stalledAfter)
	}
	if l.waiting.Len() == 0 && l.underWay.Len() == 0 {
		delete(p.limits, key)
	}
}

// release gives pl back. To do so again has no effect.
func (p *places) release(pl *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pl.in == nil {
		return
	}
	l := p.limits[pl.key]
	l.underWay.Remove(pl.in)
	pl.in = nil
	p.admit(pl.key, l, time.Now())
}

// leave takes w out of the queue because its context ended with err.
func (p *places) leave(key limitKey, w *waiter, queued *list.Element, began time.Time, err error) error {
	p.mu.Lock()
	now := time.Now()
	given := w.place
	failed := &QueueError{API: w.name, Waited: now.Sub(began), Limit: p.capacity[key.apiKey], err: err}
	if l := p.limits[key]; l != nil {
		failed.Waiting, failed.Longest = l.waiting.Len(), l.longest(now)
		if given == nil {
			l.waiting.Remove(queued)
			p.admit(key, l, now)
		}
	}
	p.mu.Unlock()
	if given != nil { // while the context ended
		p.release(given)
	}
	return failed
}

// longest is how long the oldest call under way has had its place.
func (l *limit) longest(now time.Time) time.Duration {
	if oldest := l.underWay.Front(); oldest != nil {
		return now.Sub(oldest.Value.(*place).since)
	}
	return 0
}

// logStalled says, in the log of the call that has waited longest, that the
// queue does not move. It says so again only after the queue has moved.
func (p *places) logStalled(l *limit) {
	p.mu.Lock()
	now := time.Now()
	first := l.waiting.Front()
	if first == nil || now.Sub(l.moved) < stalledAfter {
		p.mu.Unlock()
		return
	}
	w, waiting, longest := first.Value.(*waiter), l.waiting.Len(), l.longest(now)
	p.mu.Unlock() // a log handler may itself call the API
	w.log.WarnContext(w.ctx, "maskinporten: no call to an API has ended for a while, and others wait for a place; is the body of every answer closed?",
		"api", w.name, "waiting", waiting, "longest_call", longest.Round(time.Millisecond))
}

// A QueueError is returned for a call whose context ended while it waited for
// one of the places that an API gives its organisation. The API was not called.
type QueueError struct {
	API     string        // its Name
	Limit   int           // how many calls it takes at a time
	Waited  time.Duration // how long the call has waited
	Waiting int           // how many calls waited, this one too
	Longest time.Duration // how long the oldest call under way has had its place

	err error
}

// Error is one line. It asks about bodies left open when the oldest call has
// lasted too long.
func (e *QueueError) Error() string {
	text := fmt.Sprintf("maskinporten: waited %s for one of the %d calls that %s takes at a time: %v; %d waited, and the longest call under way has lasted %s",
		e.Waited.Round(time.Millisecond), e.Limit, e.API, e.err, e.Waiting, e.Longest.Round(time.Millisecond))
	if e.Longest >= stalledAfter {
		text += ": is the body of every answer closed?"
	}
	return text
}

// Unwrap returns the error of the context.
func (e *QueueError) Unwrap() error { return e.err }

// Is makes it a [maskinporten.ErrNoToken].
func (e *QueueError) Is(target error) bool { return target == maskinporten.ErrNoToken }

// Timeout reports whether the context ended because its time was over.
func (e *QueueError) Timeout() bool { return errors.Is(e.err, context.DeadlineExceeded) }
