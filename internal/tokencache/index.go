package tokencache

import (
	"math/bits"
	"slices"
	"sync/atomic"
)

// index finds what has a hash. It is a hash table that grows and shrinks by
// one bucket at a time (linear hashing, Litwin 1980), so that no caller ever
// stands still while it is copied.
//
// Readers take no lock: a bucket is an atomic pointer to a list of immutable
// nodes. One that reads while a bucket is split or merged may miss what is
// there, so a miss counts only under the writers' lock.
type index[E any] struct {
	size  atomic.Uint64 // buckets in use
	parts atomic.Pointer[[]*part[E]]
	count int
}

// part is a piece of the array of buckets.
type part[E any] [partSize]atomic.Pointer[node[E]]

type node[E any] struct {
	hash uint64
	elem *E
	next *node[E]
}

const (
	partSize   = 256
	minBuckets = 16
)

// find returns the element with that hash for which same holds, or nil.
func (x *index[E]) find(hash uint64, same func(*E) bool) *E {
	size := x.size.Load() // before parts, which are there before size grows
	if size == 0 {
		return nil
	}
	i := slot(hash, size)
	parts := *x.parts.Load()
	if i/partSize >= uint64(len(parts)) {
		return nil
	}
	for n := parts[i/partSize][i%partSize].Load(); n != nil; n = n.next {
		if n.hash == hash && same(n.elem) {
			return n.elem
		}
	}
	return nil
}

// slot is the bucket of a hash among size of them: by as many bits as number
// them all, or one less where that bucket is yet to come.
func slot(hash, size uint64) uint64 {
	mask := uint64(1)<<bits.Len64(size-1) - 1
	if i := hash & mask; i < size {
		return i
	}
	return hash & (mask >> 1)
}

func (x *index[E]) bucket(i uint64) *atomic.Pointer[node[E]] {
	return &(*x.parts.Load())[i/partSize][i%partSize]
}

func (x *index[E]) insert(hash uint64, elem *E) {
	x.count++
	if size := x.size.Load(); size < minBuckets {
		x.addPart(0)
		x.size.Store(minBuckets)
	} else if uint64(x.count) > size {
		x.grow(size)
	}
	b := x.bucket(slot(hash, x.size.Load()))
	b.Store(&node[E]{hash: hash, elem: elem, next: b.Load()})
}

func (x *index[E]) remove(hash uint64, elem *E) {
	b := x.bucket(slot(hash, x.size.Load()))
	var kept *node[E]
	for n := b.Load(); n != nil; n = n.next {
		if n.elem != elem {
			kept = &node[E]{hash: n.hash, elem: n.elem, next: kept}
		}
	}
	b.Store(kept)
	x.count--
	for range 2 { // faster than it grows, so that memory is soon back
		if size := x.size.Load(); size > minBuckets && uint64(x.count) < size/2 {
			x.shrink(size - 1)
		}
	}
}

// grow adds the bucket last, with what belongs there of the bucket that has
// held it so far.
func (x *index[E]) grow(last uint64) {
	x.addPart(last / partSize)
	from := x.bucket(parent(last))
	var stay, move *node[E]
	for n := from.Load(); n != nil; n = n.next {
		if slot(n.hash, last+1) == last {
			move = &node[E]{hash: n.hash, elem: n.elem, next: move}
		} else {
			stay = &node[E]{hash: n.hash, elem: n.elem, next: stay}
		}
	}
	x.bucket(last).Store(move)
	x.size.Store(last + 1)
	from.Store(stay)
}

// shrink takes the bucket last away, and what it holds back to where that was.
func (x *index[E]) shrink(last uint64) {
	from, to := x.bucket(last), x.bucket(parent(last))
	all := to.Load()
	for n := from.Load(); n != nil; n = n.next {
		all = &node[E]{hash: n.hash, elem: n.elem, next: all}
	}
	to.Store(all)
	x.size.Store(last)
	from.Store(nil)
	if parts := *x.parts.Load(); last == uint64(len(parts)-1)*partSize {
		parts = slices.Clone(parts[:len(parts)-1]) // readers may hold the longer one
		x.parts.Store(&parts)
	}
}

// parent is the bucket that holds what belongs in i until i is there.
func parent(i uint64) uint64 { return i &^ (1 << (bits.Len64(i) - 1)) }

// addPart makes the n-th part, if it is not there.
func (x *index[E]) addPart(n uint64) {
	var parts []*part[E]
	if p := x.parts.Load(); p != nil {
		parts = *p
	}
	if n >= uint64(len(parts)) {
		parts = append(parts, new(part[E])) // beyond what readers of the old slice look at
		x.parts.Store(&parts)
	}
}
