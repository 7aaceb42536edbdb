package maskinporten

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// table finds an entry by its Request. Readers take no lock: a bucket is an
// atomic pointer to a list of immutable nodes. Writers hold entries.mu.
//
// A sync.Map would hash all nine strings of a Request; here an empty field
// costs a comparison, and scopes match in any order without being sorted.
type table struct {
	seed    maphash.Seed
	buckets []atomic.Pointer[node]
}

type node struct {
	hash  uint64
	entry *entry
	next  *node
}

const fewestBuckets = 16

func newTable(seed maphash.Seed, size int) *table {
	return &table{seed: seed, buckets: make([]atomic.Pointer[node], size)}
}

func (t *table) bucket(hash uint64) *atomic.Pointer[node] {
	return &t.buckets[hash&uint64(len(t.buckets)-1)]
}

func (t *table) find(r *Request) *entry {
	hash := hashOf(t.seed, r)
	for n := t.bucket(hash).Load(); n != nil; n = n.next {
		if n.hash == hash && n.entry.key.same(r) {
			return n.entry
		}
	}
	return nil
}

func (t *table) insert(e *entry) {
	hash := hashOf(t.seed, &e.key)
	b := t.bucket(hash)
	b.Store(&node{hash: hash, entry: e, next: b.Load()})
}

func (t *table) remove(e *entry) {
	b := t.bucket(hashOf(t.seed, &e.key))
	var kept *node
	for n := b.Load(); n != nil; n = n.next {
		if n.entry != e {
			kept = &node{hash: n.hash, entry: n.entry, next: kept}
		}
	}
	b.Store(kept)
}

// resized is t with room for n entries, or t itself when its size will do.
func (t *table) resized(n int) *table {
	size := len(t.buckets)
	for n > size {
		size *= 2
	}
	for size > fewestBuckets && n < size/4 {
		size /= 2
	}
	if size == len(t.buckets) {
		return t
	}
	bigger := newTable(t.seed, size)
	for i := range t.buckets {
		for n := t.buckets[i].Load(); n != nil; n = n.next {
			b := bigger.bucket(n.hash)
			b.Store(&node{hash: n.hash, entry: n.entry, next: b.Load()})
		}
	}
	return bigger
}

// hashOf is the same for scopes in any order.
func hashOf(seed maphash.Seed, r *Request) uint64 {
	var h uint64
	for scope, more := r.Scope, true; more; {
		var word string
		if i := strings.IndexByte(scope, ' '); i >= 0 {
			word, scope = scope[:i], scope[i+1:]
		} else {
			word, more = scope, false
		}
		h += maphash.String(seed, word)
	}
	if r.scopeOnly() {
		return h
	}
	for i, field := range [...]*string{
		&r.ConsumerOrg, &r.Resource, &r.PID, &r.OnBehalfOf,
		&r.SystemUser.OrgNumber, &r.SystemUser.ExternalRef, &r.Consent.ID, &r.Consent.From,
	} {
		if *field != "" {
			h = (h + uint64(i) + 1) * 0x9e3779b97f4a7c15 // 2^64/φ: the fields must not be exchangeable
			h ^= maphash.String(seed, *field)
		}
	}
	return h
}

// scopeOnly tells whether no field but Scope is set: the usual case, told
// without comparing eight strings.
func (r *Request) scopeOnly() bool {
	return len(r.ConsumerOrg)|len(r.Resource)|len(r.PID)|len(r.OnBehalfOf)|
		len(r.SystemUser.OrgNumber)|len(r.SystemUser.ExternalRef)|len(r.Consent.ID)|len(r.Consent.From) == 0
}

// same tells whether r, as a caller wrote it, asks for what the key k does.
func (k *Request) same(r *Request) bool {
	if k.scopeOnly() && r.scopeOnly() {
		return sameScopes(k.Scope, r.Scope)
	}
	return k.ConsumerOrg == r.ConsumerOrg && k.Resource == r.Resource && k.PID == r.PID &&
		k.OnBehalfOf == r.OnBehalfOf && k.SystemUser == r.SystemUser && k.Consent == r.Consent &&
		sameScopes(k.Scope, r.Scope)
}

func sameScopes(a, b string) bool {
	return a == b || len(a) == len(b) && holdsAll(a, b) && holdsAll(b, a)
}

// holdsAll tells whether each word of b is a word of a.
func holdsAll(a, b string) bool {
	for word := range strings.SplitSeq(b, " ") {
		if !holdsWord(a, word) {
			return false
		}
	}
	return true
}

func holdsWord(a, word string) bool {
	for w := range strings.SplitSeq(a, " ") {
		if w == word {
			return true
		}
	}
	return false
}
