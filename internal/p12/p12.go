// Package p12 opens PKCS#12 files (RFC 7292) of every shape that the common tools write.
//
// It exists because no module that is fit to depend on reads what issuers, Windows, Java, browsers and key vaults write.
// software.sslmate.com/src/go-pkcs12, the best of them, reads 70 of the 122 stores in testdata that hold a key fit to sign with,
// where this package reads all: that one wants DER, one key, and its certificate first. Nor does it bound iteration counts, so
// that a file of some hundred bytes can keep a processor busy for hours. In the tests it is the oracle: whatever it reads, this package reads to
// the same key and certificates.
//
//	text, base64, PEM ──► bytes ──► DER ──► MAC checked ──► safes opened ──► bags ──► keys, certificates
//	    unwrap.go                  ber.go      mac.go          safe.go       bags.go      key.go
//
// What a file may cost is stated in limits.go.
package p12

import (
	"errors"
	"fmt"
)

// Store is what a PKCS#12 file holds.
type Store struct {
	Keys         []Key
	Certificates []Cert // in the order of the file, trusted CAs and strays included
}

// Key is a private key of a [Store].
type Key struct {
	FriendlyName string
	Encryption   string // its own, or that of its safe, in words; or nothing
	PKCS8        []byte // DER, decrypted
	Err          error  // ErrKeyPassword, then there is no PKCS8
}

// Cert is a certificate of a [Store].
type Cert struct {
	FriendlyName string
	Encryption   string // that of its safe, in words; or nothing
	DER          []byte // X.509, as the file has it
}

// ErrPassword says that the password is wrong: the MAC or the decryption disagrees.
var ErrPassword = errors.New("wrong password")

// ErrKeyPassword says that the file opens with the password, and the key in it does not.
var ErrKeyPassword = errors.New("the key has a password of its own")

// ErrFormat says that the input is no PKCS#12 file, or a damaged one. The error around it says what was seen.
var ErrFormat = errors.New("not a PKCS#12 file")

// UnsupportedError is a PKCS#12 file that is protected in a way this package does not read.
type UnsupportedError struct{ What string }

func (e *UnsupportedError) Error() string { return e.What + " is not supported" }

// ForeignError is a keystore in another format: JKS, JCEKS, BKS, UBER or BCFKS.
type ForeignError struct{ Kind string }

func (e *ForeignError) Error() string { return "a " + e.Kind + " keystore, not a PKCS#12 file" }

// Open reads a PKCS#12 file: DER or BER, as it is, as base64 or as PEM. A store without keys, or without certificates, is
// no error. The budget pays for the key derivation.
func Open(data []byte, password string, budget *Budget) (*Store, error) {
	data, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	pfx, err := parsePFX(data)
	if err != nil {
		return nil, err
	}
	o := &opener{budget: budget, vouched: pfx.mac != nil}
	if o.secret, err = pfx.authenticate(password, budget); err != nil {
		return nil, err
	}
	if err := o.openSafes(pfx.content); err != nil {
		return nil, err
	}
	return o.store()
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}
