package tokencache

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIndexAgainstAMap(t *testing.T) {
	for _, tt := range []struct {
		reason string
		hash   func(n int) uint64
	}{
		{"good hashes", func(n int) uint64 { return uint64(n) * 0x9e3779b97f4a7c15 }},
		{"hashes that collide", func(n int) uint64 { return uint64(n % 7) }},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			var x index[int]
			in := map[int]*int{}
			find := func(n int) *int { return x.find(tt.hash(n), func(e *int) bool { return *e == n }) }
			largest := 0
			for phase := range 6 {
				for range 3000 {
					n := rnd.IntN(2000)
					if e := in[n]; e == nil && phase%2 == 0 {
						e = &n
						in[n] = e
						x.insert(tt.hash(n), e)
					} else if e != nil && phase%2 == 1 {
						delete(in, n)
						x.remove(tt.hash(n), e)
					}
					require.Equal(t, in[n], find(n))
					require.Equal(t, len(in), x.count)
					largest = max(largest, int(x.size.Load()))
				}
				for n := range 2000 {
					require.Equal(t, in[n], find(n))
				}
				require.GreaterOrEqual(t, int(x.size.Load()), max(minBuckets, len(in)))
				require.LessOrEqual(t, int(x.size.Load()), max(minBuckets, 4*len(in)))
				require.LessOrEqual(t, (len(*x.parts.Load())-1)*partSize, int(x.size.Load()))
			}
			require.Greater(t, largest, 2*partSize)
		})
	}
}

// Readers take no lock. They may miss what is there, and never find what is not.
func TestIndexIsReadWhileItGrowsAndShrinks(t *testing.T) {
	const most = 3000
	hash := func(n int) uint64 { return uint64(n) * 0x9e3779b97f4a7c15 }
	var x index[int]
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				n := rand.IntN(most)
				if e := x.find(hash(n), func(e *int) bool { return *e == n }); e != nil && *e != n {
					panic("another's")
				}
			}
		})
	}
	for range 3 {
		all := make([]*int, most)
		for n := range all {
			all[n] = &n
			x.insert(hash(n), all[n])
		}
		for n, e := range all {
			require.Same(t, e, x.find(hash(n), func(e *int) bool { return *e == n }))
		}
		for n, e := range all {
			x.remove(hash(n), e)
		}
	}
	close(stop)
	readers.Wait()
	require.Zero(t, x.count)
}

func TestBucketOfAHash(t *testing.T) {
	for _, tt := range []struct {
		size, hash, want uint64
	}{
		{16, 0x1f, 15}, // four bits
		{17, 0x10, 16}, // the fifth bit, for the one bucket that is split
		{17, 0x11, 1},  // its own is yet to come
		{32, 0x1f, 31},
		{33, 0x3f, 31},
	} {
		require.Equal(t, tt.want, slot(tt.hash, tt.size))
	}
	for last := uint64(16); last < 100; last++ {
		for range 100 {
			h := rand.Uint64()
			if slot(h, last+1) == last {
				require.Equal(t, parent(last), slot(h, last), "where it was before the split")
			} else {
				require.Equal(t, slot(h, last), slot(h, last+1), "all others stay")
			}
		}
	}
}
