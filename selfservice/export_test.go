package selfservice

import (
	"crypto/rand"
	"crypto/rsa"
	"sync/atomic"
	"time"
)

// UseSmallKeys has rotations take short keys from a pool, since tests need
// many of them. The ids are new each time.
func UseSmallKeys() (restore func()) {
	var next atomic.Int64
	newKey = func() (*PrivateKey, error) {
		return privateKey(pool[next.Add(1)%int64(len(pool))], newUUID(), time.Time{}), nil
	}
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
