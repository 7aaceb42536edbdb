package selfservice

import (
	"crypto/rand"
	"crypto/rsa"
	"sync/atomic"
	"time"
)

// SmallKey is a short key from a pool, under a new id: tests need many keys.
func SmallKey() (*PrivateKey, error) {
	return privateKey(pool[next.Add(1)%int64(len(pool))], newUUID(), time.Time{}), nil
}

var next atomic.Int64

// UseSmallKeys has rotations take short keys.
func UseSmallKeys() (restore func()) {
	newKey = SmallKey
	return func() { newKey = NewKey }
}

var pool = func() (keys [3]*rsa.PrivateKey) {
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
}()
