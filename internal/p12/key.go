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
		key, err := o.decrypt(bag)
		if errors.Is(err, ErrPassword) && o.vouched {
			err = ErrKeyPassword
		}
		if err != nil && !errors.Is(err, ErrKeyPassword) {
			return nil, err
		}
		key.Err = err
		s.Keys = append(s.Keys, key)
	}
	return s, nil
}

// decrypt takes the encryption off a key.
func (o *opener) decrypt(bag keyBag) (key Key, err error) {
	key = Key{FriendlyName: bag.name, Encryption: bag.encryption}
	if !bag.shrouded {
		key.PKCS8 = bag.der
		return key, nil
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	if err := unmarshal(bag.der, &info); err != nil {
		return key, err
	}
	how, err := parseEncryption(info.Algorithm)
	if err != nil {
		return key, err
	}
	key.Encryption = describeEncryption(info.Algorithm)
	pkcs8, err := how.decrypt(info.Data, o.secret, o.budget)
	if err != nil {
		return key, err
	}
	if key.PKCS8, _, err = toDER(pkcs8); err != nil {
		return key, malformed("private key: %w", err)
	}
	return key, nil
}
