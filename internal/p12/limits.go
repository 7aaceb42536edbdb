package p12

import (
	"fmt"
	"math/big"
)

// A keystore is attacker's input where an operator uploads it, and it may name any iteration count, hold any number of keys
// and certificates, and have RSA numbers of any size. What reading a file may cost is stated here, for PKCS#12 and for what
// package keystore reads in other ways.
const (
	MaxInput       = 2 << 20  // bytes of a file
	MaxKey         = 6 << 10  // bytes of a private key; RSA with 8192 bits takes 4.8 kB
	MaxCertificate = 64 << 10 // bytes of a certificate
	maxDepth       = 64       // of BER elements in one another; openssl's own files come to 14
	maxAttributes  = 32       // of a bag that are looked at for its name; tools write two or three
	maxBags        = 10_000   // of a file

	// Five seconds for key derivation. The dearest honest files are those of GnuTLS and NSS, with 600,000 iterations each
	// for the MAC, for every certificate and for the key: with SHA-512 five certificates come to four seconds.
	maxDerivation = 5 * second

	// One second for everything else: RSA keys and signatures. A chain of ten with 4096 bits comes to a millisecond.
	maxChecks = second

	second = 40_000_000 // in the unit of digest.cost: 25 ns
)

// Budget is what reading one file may still cost. Every safe, key and signature of it pays from the same one.
type Budget struct{ derivation, checks int64 }

// NewBudget returns the budget of one file.
func NewBudget() *Budget { return &Budget{derivation: maxDerivation, checks: maxChecks} }

// PayRSA pays for an operation with a public key whose modulus and exponent have so many bits, and reports whether there was
// enough for it.
func (b *Budget) PayRSA(modulus, exponent int) bool {
	n, e := int64(modulus), int64(exponent)
	return b.pay(n*n*2*e/40_000 + 400)
}

// PayCurve pays for a signature check with an elliptic curve's key.
func (b *Budget) PayCurve() bool { return b.pay(second / 500) }

// PayKey pays for what crypto/rsa computes of a private key that comes without the numbers which spare it that: a power
// modulo a prime of so many bits.
func (b *Budget) PayKey(prime int) bool {
	n := int64(prime)
	return b.pay(n*n/120*n/120 + 400)
}

func (b *Budget) pay(cost int64) bool {
	if cost > b.checks {
		return false
	}
	b.checks -= cost
	return true
}

// iterations returns the count as an int after paying for it; cost is what one iteration does.
func (b *Budget) iterations(count *big.Int, cost int) (int, error) {
	if count == nil || count.Sign() <= 0 {
		return 0, malformed("iteration count is not positive")
	}
	if !count.IsInt64() || count.Int64() > b.derivation/int64(cost) {
		return 0, &UnsupportedError{What: fmt.Sprintf("an iteration count of %s, more than five seconds' work with the others in the file,", shorten(count))}
	}
	b.derivation -= count.Int64() * int64(cost)
	return int(count.Int64()), nil
}

// shorten keeps a number of a million digits out of the error.
func shorten(n *big.Int) string {
	if n.BitLen() > 64 {
		return fmt.Sprintf("2^%d", n.BitLen()-1)
	}
	return n.String()
}
