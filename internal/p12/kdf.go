package p12

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
)

// What RFC 7292, appendix B.3 calls ID: what the derived bytes are for.
const (
	forKey byte = 1
	forIV  byte = 2
	forMAC byte = 3
)

// derive is the key derivation of RFC 7292, appendix B.2; the letters are its own.
func derive(d digest, password, salt []byte, iterations int, id byte, size int) []byte {
	h := d.new()
	v := h.BlockSize()
	D := bytes.Repeat([]byte{id}, v)
	I := append(fill(salt, v), fill(password, v)...)
	var out []byte
	for {
		h.Reset()
		h.Write(D)
		h.Write(I)
		A := h.Sum(nil)
		for range iterations - 1 {
			h.Reset()
			h.Write(A)
			A = h.Sum(A[:0])
		}
		if out = append(out, A...); len(out) >= size {
			return out[:size]
		}
		B := fill(A, v)[:v]
		for j := 0; j < len(I); j += v {
			addOne(I[j:j+v], B)
		}
	}
}

// deriveCost is what one iteration of derive costs for size bytes.
func deriveCost(d digest, size int) int {
	u := d.new().Size()
	return d.cost * ((size + u - 1) / u)
}

// fill repeats b up to a multiple of v bytes.
func fill(b []byte, v int) []byte {
	n := (len(b) + v - 1) / v * v
	out := make([]byte, 0, n)
	for len(out) < n {
		out = append(out, b[:min(len(b), n-len(out))]...)
	}
	return out
}

// addOne sets block to block + b + 1 modulo 2^(8*len(block)).
func addOne(block, b []byte) {
	carry := 1
	for i := len(block) - 1; i >= 0; i-- {
		carry += int(block[i]) + int(b[i])
		block[i] = byte(carry)
		carry >>= 8
	}
}

// pbkdf2Params is PBKDF2-params (RFC 8018, appendix A.2).
type pbkdf2Params struct {
	Salt       asn1.RawValue
	Iterations *big.Int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// pbkdf2KDF is a PBKDF2 as a file prescribes it.
type pbkdf2KDF struct {
	params pbkdf2Params
	prf    digest
}

var oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}

func parsePBKDF2(alg pkix.AlgorithmIdentifier) (k pbkdf2KDF, err error) {
	if !alg.Algorithm.Equal(oidPBKDF2) {
		return k, unsupported("key derivation", alg.Algorithm)
	}
	if err := unmarshal(alg.Parameters.FullBytes, &k.params); err != nil {
		return k, err
	}
	if k.params.Salt.Class != asn1.ClassUniversal || k.params.Salt.Tag != asn1.TagOctetString {
		return k, &UnsupportedError{What: "PBKDF2 with a salt from another source"}
	}
	k.prf = sha1Digest // the default
	if prf := k.params.PRF.Algorithm; len(prf) > 0 {
		var ok bool
		if k.prf, ok = hmacByOID(prf); !ok {
			return k, unsupported("PBKDF2 with the function", prf)
		}
	}
	return k, nil
}

// cost is what one iteration costs for size bytes: an HMAC is two hashes, and three quarters for what stands around them.
func (k pbkdf2KDF) cost(size int) int { return deriveCost(k.prf, size) * 11 / 4 }

func (k pbkdf2KDF) key(password []byte, iterations, size int) ([]byte, error) {
	return pbkdf2.Key(k.prf.new, string(password), k.params.Salt.Bytes, iterations, size)
}
