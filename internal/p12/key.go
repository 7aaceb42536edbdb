package p12

import (
	"crypto/x509/pkix"
	"errors"
)

// store decrypts the keys that were collected. What they are is the caller's to judge, as with the certificates: one that
// nobody reads must not hinder the rest.
func (o *opener) store() (*Store, error) {
	s := &Store{Certificates: o.certs}
	for _, bag := range o.keys {
		der, err := o.decrypt(bag)
		if errors.Is(err, ErrPassword) && o.vouched {
			err = ErrKeyPassword
		}
		if err != nil && !errors.Is(err, ErrKeyPassword) {
			return nil, err
		}
		s.Keys = append(s.Keys, Key{FriendlyName: bag.name, PKCS8: der, Err: err})
	}
	return s, nil
}

// decrypt takes the encryption off a key.
func (o *opener) decrypt(bag keyBag) ([]byte, error) {
	if !bag.shrouded {
		return bag.der, nil
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if err := unmarshal(bag.der, &info); err != nil {
		return nil, err
	}
	how, err := parseEncryption(info.Algorithm)
	if err != nil {
		return nil, err
	}
	pkcs8, err := how.decrypt(info.Data, o.secret, o.budget)
	if err != nil {
		return nil, err
	}
	if pkcs8, _, err = toDER(pkcs8); err != nil {
		return nil, malformed("private key: %w", err)
	}
	return pkcs8, nil
}
