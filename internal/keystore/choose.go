package keystore

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"
)

// namedKey is one of the private keys in a file.
type namedKey struct {
	name string // friendlyName, or nothing
	key  crypto.PrivateKey
}

// choose returns the one key that can sign for Maskinporten: a Java keystore,
// or a file that somebody joined, also has those for signing documents and for
// encryption. remedy says how to choose among several.
func choose(keys []namedKey, certs []*x509.Certificate, now time.Time, remedy string) (*Key, error) {
	keys = distinct(keys)
	var (
		able  []*Key
		about []string
		none  unusable
	)
	for _, k := range keys {
		key, err := k.with(certs, now)
		if err != nil {
			none.errs = append(none.errs, err)
			none.about = append(none.about, k.label()+": "+strings.TrimPrefix(err.Error(), "maskinporten: "))
			continue
		}
		able = append(able, key)
		leaf := key.Chain[0]
		about = append(about, fmt.Sprintf("%s: %s, Key Usage %s, expires %s",
			k.label(), quoted(leaf.Subject.CommonName), KeyUsage(leaf), leaf.NotAfter.Format(time.DateOnly)))
	}
	switch {
	case len(able) == 1:
		return able[0], nil
	case len(able) > 1:
		return nil, fmt.Errorf("%w: %s; %s", ErrAmbiguousKey, strings.Join(about, "; "), remedy)
	case len(none.errs) == 1:
		return nil, none.errs[0]
	}
	return nil, &none
}

func (k namedKey) with(certs []*x509.Certificate, now time.Time) (*Key, error) {
	signer, ok := k.key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: it is %s", ErrUnusableKey, kindOf(k.key))
	}
	return New(signer, certs, now)
}

func (k namedKey) label() string {
	if k.name == "" {
		return "a key without a name"
	}
	return quoted(k.name)
}

// distinct leaves out keys that are there twice.
func distinct(keys []namedKey) (once []namedKey) {
	for _, k := range keys {
		same, ok := k.key.(interface{ Equal(crypto.PrivateKey) bool })
		if ok && slices.ContainsFunc(once, func(o namedKey) bool { return same.Equal(o.key) }) {
			continue
		}
		once = append(once, k)
	}
	return once
}

// unusable is why none of several keys can sign; errors.Is finds each reason.
type unusable struct {
	about []string
	errs  []error
}

func (e *unusable) Error() string {
	return fmt.Sprintf("maskinporten: none of the %d keys in the file can sign: %s", len(e.errs), strings.Join(e.about, "; "))
}

func (e *unusable) Unwrap() []error { return e.errs }
