package p12

import (
	"fmt"
	"math/big"
)

// A keystore is attacker's input where an operator uploads it, and RFC 7292 lets it name any iteration count. These limits
// keep the worst file under a second and 100 MB. The dearest honest ones come just below: GnuTLS makes 600,000 iterations
// each for the MAC, for every certificate and for the key. Beyond are only those of NSS' pk12util -M SHA-384 and SHA-512,
// which hash as often and four times as slowly.
const (
	maxInput = 2 << 20
	maxTime  = 31_500_000 // for all key derivation of a file, in the unit of digest.cost: 0.8 s
	maxDepth = 64         // of BER elements in one another; openssl's own files come to 14
	maxKeys  = 16
	maxKey   = 6 << 10  // bytes of a PKCS#8 key; RSA with 8192 bits takes 4.8 kB
	maxCert  = 64 << 10 // bytes of a certificate
)

// budget is the time that key derivation may still take. Every safe and every key of a file pays from the same one.
type budget struct{ left int64 }

// iterations returns the count as an int after paying for it; cost is what one iteration does.
func (b *budget) iterations(count *big.Int, cost int) (int, error) {
	if count == nil || count.Sign() <= 0 {
		return 0, malformed("iteration count is not positive")
	}
	if !count.IsInt64() || count.Int64() > b.left/int64(cost) {
		return 0, &UnsupportedError{What: fmt.Sprintf("an iteration count of %s, more than a second's work with the others in the file,", shorten(count))}
	}
	b.left -= count.Int64() * int64(cost)
	return int(count.Int64()), nil
}

// shorten keeps a number of a million digits out of the error.
func shorten(n *big.Int) string {
	if n.BitLen() > 64 {
		return fmt.Sprintf("2^%d", n.BitLen()-1)
	}
	return n.String()
}
