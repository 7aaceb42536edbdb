package maskinporten

import (
	"container/heap"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// entry is what the cache holds of one key. What a hit reads is atomic; the
// rest is guarded by mu.
type entry struct {
	token   atomic.Pointer[Token]
	vouched atomic.Int64  // since entries.start: until when token is fresh, by a look at both clocks
	used    atomic.Uint64 // entries.tick when it was last asked for
	key     Request
	flight  atomic.Pointer[flight]  // the fetch under way
	failure atomic.Pointer[failure] // what the last fetch failed with; nil after a success
	refusal atomic.Pointer[refusal] // refusals by an API; refusal.go
	gone    atomic.Bool             // no longer in the cache

	mu sync.Mutex

	// Guarded by entries.mu.
	deadline time.Duration // since entries.start: when nothing of it is worth keeping
	index    int           // in entries.byDeadline
}

// entries is the bounded set of them. Dead ones are swept a few at a time as
// new keys come, so that a process which asks for a token per person or per
// customer can run for months without a goroutine to clean up after it.
type entries struct {
	table atomic.Pointer[table]
	tick  atomic.Uint64 // counts new keys: "recently" is measured in them

	mu         sync.Mutex
	byDeadline deadlines
	limit      int
	start      time.Time
}

const (
	// sweepSteps a new key: more than ten, so that after a tenth as many new
	// keys as there were dead entries the memory is back.
	sweepSteps = 16

	// maxEntries bounds the memory at about 200 MiB. It holds five scopes for
	// each of twenty thousand customers, or a token of two minutes for each
	// person at eight hundred new persons a second.
	maxEntries = 100_000

	// evictionSample is how many entries are looked at to find one that has
	// not been used for long: nearly as good as an exact order, which every
	// hit would have to write to.
	evictionSample = 16
)

func (s *entries) init(limit int) {
	s.limit = limit
	s.start = time.Now()
	s.table.Store(newTable(maphash.MakeSeed(), fewestBuckets))
}

func (s *entries) find(r *Request) *entry { return s.table.Load().find(r) }

// touch marks e as used. It writes only when a key has come since: readers of
// one hot entry do not contend.
func (s *entries) touch(e *entry) {
	if tick := s.tick.Load(); e.used.Load() != tick {
		e.used.Store(tick)
	}
}

// entryFor is the entry of a normalized key, made if it is not there.
func (s *entries) entryFor(key *Request) *entry {
	if e := s.find(key); e != nil {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.find(key); e != nil {
		return e
	}
	now := time.Now()
	s.sweep(now)
	if len(s.byDeadline) >= s.limit {
		s.evict()
	}
	e := &entry{key: *key, deadline: now.Sub(s.start) + flightTimeout}
	e.used.Store(s.tick.Add(1))
	heap.Push(&s.byDeadline, e)
	t := s.table.Load().resized(len(s.byDeadline))
	t.insert(e)
	s.table.Store(t)
	return e
}

// settle puts e where its deadline belongs after something in it has changed.
func (s *entries) settle(e *entry, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !e.gone.Load() {
		s.reschedule(e, now)
	}
}

func (s *entries) reschedule(e *entry, now time.Time) {
	e.deadline = now.Sub(s.start) + e.worthKeeping(now)
	heap.Fix(&s.byDeadline, e.index)
}

func (s *entries) sweep(now time.Time) {
	for range sweepSteps {
		if len(s.byDeadline) == 0 || s.byDeadline[0].deadline > now.Sub(s.start) {
			return
		}
		e := s.byDeadline[0]
		if !s.drop(e, func() bool { return e.worthKeeping(now) <= 0 }) {
			s.reschedule(e, now)
		}
	}
}

// evict makes room by dropping about the least recently used entry. Entries
// that are being fetched stay: their number is bounded by what waits for them.
func (s *entries) evict() {
	var oldest *entry
	for range evictionSample {
		e := s.byDeadline[rand.IntN(len(s.byDeadline))]
		if e.flight.Load() == nil && (oldest == nil || e.used.Load() < oldest.used.Load()) {
			oldest = e
		}
	}
	if oldest != nil {
		s.drop(oldest, func() bool { return oldest.flight.Load() == nil })
	}
}

// drop takes e out if it still may be dropped, which is asked under its lock.
func (s *entries) drop(e *entry, may func() bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !may() {
		return false
	}
	e.gone.Store(true)
	e.token.Store(nil)
	heap.Remove(&s.byDeadline, e.index)
	t := s.table.Load()
	t.remove(e)
	s.table.Store(t.resized(len(s.byDeadline)))
	return true
}

func (s *entries) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byDeadline)
}

// all calls f with each entry, in no order, without holding a lock.
func (s *entries) all(f func(*entry) (more bool)) {
	t := s.table.Load()
	for i := range t.buckets {
		for n := t.buckets[i].Load(); n != nil; n = n.next {
			if !f(n.entry) {
				return
			}
		}
	}
}

// worthKeeping is how long something in e will be of use: a token until its
// end, a failure until the pause after it would no longer grow.
func (e *entry) worthKeeping(now time.Time) time.Duration {
	if e.flight.Load() != nil {
		return flightTimeout
	}
	var worth time.Duration
	if t := e.token.Load(); t != nil {
		worth = t.lifetime - age(t.sent, now)
	}
	if f := e.failure.Load(); f != nil {
		worth = max(worth, f.pause+longestPause-age(f.at, now))
	}
	if r := e.refusal.Load(); r != nil {
		worth = max(worth, r.pause+longestPause-age(r.at, now))
	}
	return worth
}

// deadlines is a heap: the entry that dies first stands first.
type deadlines []*entry

func (h deadlines) Len() int           { return len(h) }
func (h deadlines) Less(i, j int) bool { return h[i].deadline < h[j].deadline }

func (h deadlines) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *deadlines) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *deadlines) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	if cap(*h) > 1024 && last < cap(*h)/4 {
		*h = append(make(deadlines, 0, cap(*h)/2), *h...)
	}
	return e
}
