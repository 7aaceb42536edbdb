package tokencache

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Entry is what the cache holds of one key. What a hit reads is atomic.
type Entry[K, V any] struct {
	value      atomic.Pointer[V]
	freshUntil atomic.Int64  // since Cache.start: until when the value is fresh, by a look at both clocks
	used       atomic.Uint64 // entries.tick when it was last asked for
	key        K
	flight     atomic.Pointer[flight[K, V]]  // the fetch under way, or one that hangs
	failure    atomic.Pointer[failure]       // what the last fetch failed with; nil after a success
	rejections atomic.Pointer[rejections[V]] // rejected.go

	mu     sync.Mutex // held to write what stands above
	secret uint64     // hash of the value's secret, in Cache.secrets
	gone   bool       // no longer in the cache; entries.mu is held to write it, too

	// Guarded by entries.mu.
	hash     uint64        // of key
	deadline time.Duration // since Cache.start: when nothing of it is worth keeping
	queue    *queue[K, V]  // that it stands in; nil while it is being fetched
	position int           // in queue
}

// Key returns the key, which must not be written to.
func (e *Entry[K, V]) Key() *K { return &e.key }

// entries is the bounded set of them. Dead ones are swept a few at a time as
// new keys come, so that a process which asks for a token per person or per
// customer can run for months without a goroutine to clean up after it.
//
// An entry that is being fetched stands in no queue, or has to leave it when it
// is found there: it stays, and fetches are bounded.
type entries[K, V any] struct {
	index index[Entry[K, V]]
	tick  atomic.Uint64 // counts new keys: "recently" is measured in them

	mu    sync.Mutex // before Entry.mu, where both are held
	count int
	limit int
	empty queue[K, V] // without a value that lives: they go first
	full  queue[K, V]
}

const (
	// sweepSteps a new key: more than ten, so that after a tenth as many new
	// keys as there were dead entries the memory is back.
	sweepSteps = 16

	// evictionSample is how many entries are looked at to find one that has
	// not been used for long: nearly as good as an exact order, which every
	// hit would have to write to.
	evictionSample = 16
)

// touch marks e as used. It writes only when a key has come since: readers of
// one hot entry do not contend.
func (c *Cache[K, V]) touch(e *Entry[K, V]) {
	if tick := c.tick.Load(); e.used.Load() != tick {
		e.used.Store(tick)
	}
}

// add puts in e, whose flight has been started, unless its key is there.
func (c *Cache[K, V]) add(e *Entry[K, V]) bool {
	c.entries.mu.Lock()
	defer c.entries.mu.Unlock()
	if c.lookUp(e.hash, &e.key) != nil {
		return false
	}
	e.used.Store(c.tick.Add(1))
	c.index.insert(e.hash, e)
	c.count++
	c.sweep(Now())
	c.evict()
	return true
}

// lookUp is Find for a key that may escape, with no false misses while
// entries.mu is held.
func (c *Cache[K, V]) lookUp(hash uint64, key *K) *Entry[K, V] {
	return c.index.find(hash, func(e *Entry[K, V]) bool { return c.options.Equal(&e.key, key) })
}

// entry returns what there is of a key.
func (c *Cache[K, V]) entry(hash uint64, key *K) *Entry[K, V] {
	if e := c.lookUp(hash, key); e != nil {
		return e
	}
	c.entries.mu.Lock()
	defer c.entries.mu.Unlock()
	return c.lookUp(hash, key)
}

// place puts e where it belongs after something in it has changed.
func (c *Cache[K, V]) place(e *Entry[K, V], now Instant) {
	c.entries.mu.Lock()
	defer c.entries.mu.Unlock()
	c.requeue(e, now)
	c.evict()
}

// requeue is place with entries.mu held. It reads e without its lock: what
// changes meanwhile is followed by a place of its own.
func (c *Cache[K, V]) requeue(e *Entry[K, V], now Instant) {
	e.leaveQueue()
	v := e.value.Load()
	switch {
	case e.gone || e.flight.Load() != nil:
		return
	case v != nil && c.options.Times(v).Left(now) > 0:
		e.queue = &c.full
	default:
		e.queue = &c.empty
	}
	e.deadline = c.elapsed(now) + c.retention(e, now)
	heap.Push(e.queue, e)
}

func (e *Entry[K, V]) leaveQueue() {
	if e.queue != nil {
		heap.Remove(e.queue, e.position)
		e.queue = nil
	}
}

// retention is how long something in e will be of use: a value until its end,
// a failure until the pause after it would no longer grow, rejections until all
// replacements are there again.
func (c *Cache[K, V]) retention(e *Entry[K, V], now Instant) time.Duration {
	var worth time.Duration
	if v := e.value.Load(); v != nil {
		worth = c.options.Times(v).Left(now)
	}
	if f := e.failure.Load(); f != nil {
		worth = max(worth, f.pause+maxPause-now.Since(f.at))
	}
	if r := e.rejections.Load(); r != nil {
		worth = max(worth, r.full-now.mono)
	}
	return worth
}

// sweep drops entries that are past their deadline.
func (c *Cache[K, V]) sweep(now Instant) {
	for range sweepSteps {
		e := c.empty.first()
		if other := c.full.first(); e == nil || other != nil && other.deadline < e.deadline {
			e = other
		}
		if e == nil || e.deadline > c.elapsed(now) {
			return
		}
		if !c.drop(e, func() bool { return c.retention(e, now) <= 0 }) {
			c.requeue(e, now)
		}
	}
}

// evict drops entries until there are no more than the limit: first those
// without a value, then about the least recently used.
func (c *Cache[K, V]) evict() {
	for c.count > c.limit {
		e := c.empty.first()
		if e == nil {
			e = c.full.leastRecentlyUsed()
		}
		if e == nil {
			return // all are being fetched: this is done again when one of them ends
		}
		if !c.drop(e, func() bool { return true }) {
			e.leaveQueue()
		}
	}
}

// drop takes e out if it is not being fetched and may be dropped, which is
// asked under its lock.
func (c *Cache[K, V]) drop(e *Entry[K, V], allowed func() bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flight.Load() != nil || !allowed() {
		return false
	}
	e.gone = true
	c.set(e, nil)
	e.leaveQueue()
	c.index.remove(e.hash, e)
	c.count--
	return true
}

// Len returns the number of keys held.
func (c *Cache[K, V]) Len() int {
	c.entries.mu.Lock()
	defer c.entries.mu.Unlock()
	return c.count
}

// queue is a heap: the entry that is first past its deadline stands first. It
// is kept in chunks, so that nothing is copied when it grows.
type queue[K, V any] struct {
	chunks [][]*Entry[K, V]
	len    int
}

const chunkSize = 1024

func (q *queue[K, V]) at(i int) **Entry[K, V] { return &q.chunks[i/chunkSize][i%chunkSize] }

func (q *queue[K, V]) first() *Entry[K, V] {
	if q.len == 0 {
		return nil
	}
	return *q.at(0)
}

// leastRecentlyUsed is the one of a sample that has not been used for longest.
func (q *queue[K, V]) leastRecentlyUsed() *Entry[K, V] {
	var oldest *Entry[K, V]
	for range min(evictionSample, q.len) {
		e := *q.at(rand.IntN(q.len))
		if oldest == nil || e.used.Load() < oldest.used.Load() {
			oldest = e
		}
	}
	return oldest
}

// Len is part of [heap.Interface].
func (q *queue[K, V]) Len() int { return q.len }

// Less is part of [heap.Interface].
func (q *queue[K, V]) Less(i, j int) bool { return (*q.at(i)).deadline < (*q.at(j)).deadline }

// Swap is part of [heap.Interface].
func (q *queue[K, V]) Swap(i, j int) {
	a, b := q.at(i), q.at(j)
	*a, *b = *b, *a
	(*a).position, (*b).position = i, j
}

// Push is part of [heap.Interface].
func (q *queue[K, V]) Push(x any) {
	e := x.(*Entry[K, V])
	if q.len == len(q.chunks)*chunkSize {
		q.chunks = append(q.chunks, make([]*Entry[K, V], chunkSize))
	}
	e.position = q.len
	q.len++
	*q.at(e.position) = e
}

// Pop is part of [heap.Interface].
func (q *queue[K, V]) Pop() any {
	q.len--
	e := *q.at(q.len)
	*q.at(q.len) = nil
	if spare := len(q.chunks)*chunkSize - q.len; spare >= 2*chunkSize {
		q.chunks[len(q.chunks)-1] = nil
		q.chunks = q.chunks[:len(q.chunks)-1]
	}
	return e
}
