package p12

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"hash"
)

// digest is a hash function a file may name.
type digest struct {
	new  func() hash.Hash
	cost int // of hashing a short text once, in units of 25 ns
}

var (
	md5Digest  = digest{md5.New, 6}
	sha1Digest = digest{sha1.New, 4}
)

var sha2 = [...]digest{
	{sha256.New, 4}, {sha512.New384, 15}, {sha512.New, 15}, {sha256.New224, 4}, {sha512.New512_224, 15}, {sha512.New512_256, 15},
}

var oidSHA1 = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}

// hashByOID finds the hash function of a PKCS#12 MAC.
func hashByOID(oid asn1.ObjectIdentifier) (digest, bool) {
	switch {
	case oid.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5}):
		return md5Digest, true
	case oid.Equal(oidSHA1):
		return sha1Digest, true
	case under(oid, 2, 16, 840, 1, 101, 3, 4, 2): // NIST: id-sha256 is 1, … id-sha512-256 is 6
		if n := oid[8]; n >= 1 && n <= len(sha2) {
			return sha2[n-1], true
		}
	}
	return digest{}, false
}

// hmacByOID finds the hash function of an HMAC (RFC 8018, appendix B.1): PBKDF2's PRF and the MAC of PBMAC1.
func hmacByOID(oid asn1.ObjectIdentifier) (digest, bool) {
	if !under(oid, 1, 2, 840, 113549, 2) {
		return digest{}, false
	}
	switch oid[5] {
	case 6:
		return md5Digest, true
	case 7:
		return sha1Digest, true
	case 8:
		return sha2[3], true
	case 9, 10, 11:
		return sha2[oid[5]-9], true
	case 12, 13:
		return sha2[oid[5]-8], true
	}
	return digest{}, false
}

// under reports whether oid is a child of the arc.
func under(oid asn1.ObjectIdentifier, arc ...int) bool {
	return len(oid) == len(arc)+1 && oid[:len(arc)].Equal(arc)
}

// names are for error messages: what files are protected with in practice and is not read here.
var names = map[string]string{
	"1.2.840.113549.1.12.1.1":    "RC4 encryption",
	"1.2.840.113549.1.12.1.2":    "RC4 encryption",
	"1.2.392.200011.61.1.1.1.2":  "Camellia encryption",
	"1.2.392.200011.61.1.1.1.3":  "Camellia encryption",
	"1.2.392.200011.61.1.1.1.4":  "Camellia encryption",
	"1.2.840.113549.3.7":         "3DES encryption in PBES2",
	"1.2.840.113549.3.2":         "RC2 encryption in PBES2",
	"1.3.14.3.2.7":               "DES encryption in PBES2",
	"1.2.410.200046.1.1.2":       "ARIA encryption",
	"1.2.410.200046.1.1.7":       "ARIA encryption",
	"1.2.410.200046.1.1.12":      "ARIA encryption",
	"1.2.410.200004.1.4":         "SEED encryption",
	"1.2.156.10197.1.104.2":      "SM4 encryption",
	"2.16.840.1.101.3.4.1.6":     "AES-GCM encryption",
	"2.16.840.1.101.3.4.1.26":    "AES-GCM encryption",
	"2.16.840.1.101.3.4.1.46":    "AES-GCM encryption",
	"1.3.6.1.4.1.11591.4.11":     "key derivation with scrypt",
	"2.16.840.1.101.3.4.2.7":     "a SHA-3 MAC",
	"2.16.840.1.101.3.4.2.8":     "a SHA-3 MAC",
	"2.16.840.1.101.3.4.2.9":     "a SHA-3 MAC",
	"2.16.840.1.101.3.4.2.10":    "a SHA-3 MAC",
	"1.3.36.3.2.1":               "a RIPEMD-160 MAC",
	"1.2.156.10197.1.401":        "an SM3 MAC",
	"1.3.6.1.4.1.1722.12.2.1.16": "a BLAKE2 MAC",
	"1.3.6.1.4.1.1722.12.2.2.8":  "a BLAKE2 MAC",
	"1.2.840.113549.1.9.16.3.18": "ChaCha20-Poly1305 encryption",
	"1.2.840.113549.1.7.3":       "encryption to a public key",
	"1.2.840.113549.1.7.2":       "integrity by signature",
}

// unsupported names an algorithm that is not read; kind is what stands in the sentence when the name is not known.
func unsupported(kind string, oid asn1.ObjectIdentifier) error {
	if name, ok := names[oid.String()]; ok {
		return &UnsupportedError{What: name}
	}
	return &UnsupportedError{What: kind + " " + oid.String()}
}
