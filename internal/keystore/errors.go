package keystore

import "errors"

// What is wrong with a key, a certificate or a file. Package maskinporten
// exports each of them under the same name, and documents it there; that is why
// the texts begin with its name.
var (
	ErrWrongPassword          = errors.New("maskinporten: wrong password")
	ErrNotKeystore            = errors.New("maskinporten: not a keystore that can be read")
	ErrUnsupportedEncryption  = errors.New("maskinporten: unsupported encryption")
	ErrNoKey                  = errors.New("maskinporten: no private key")
	ErrNoCertificate          = errors.New("maskinporten: no certificate")
	ErrAmbiguousKey           = errors.New("maskinporten: more than one key can sign")
	ErrKeyMismatch            = errors.New("maskinporten: no certificate belongs to the key")
	ErrUnusableKey            = errors.New("maskinporten: the key cannot sign for Maskinporten")
	ErrCertificateExpired     = errors.New("maskinporten: the certificate has expired")
	ErrCertificateNotYetValid = errors.New("maskinporten: the certificate is not valid yet")
	ErrMalformedCertificate   = errors.New("maskinporten: a certificate is not as X.509 demands")
	ErrMissingIntermediate    = errors.New("maskinporten: the issuer's certificate is missing")
)
