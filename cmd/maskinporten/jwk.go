package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
)

// publicJWK is a key as it is registered on a client (RFC 7517; RFC 7518,
// section 6.3.1).
type publicJWK struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Alg string `json:"alg"`
	Kid string `json:"kid"`
	N   string `json:"n"`
	E   string `json:"e"`
}

// privateJWK is a key that signs (RFC 7518, section 6.3.2).
type privateJWK struct {
	publicJWK
	D  string `json:"d"`
	P  string `json:"p"`
	Q  string `json:"q"`
	Dp string `json:"dp"`
	Dq string `json:"dq"`
	Qi string `json:"qi"`
}

func number(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

func publicKey(key *rsa.PublicKey, kid string) publicJWK {
	return publicJWK{Kty: "RSA", Use: "sig", Alg: "RS256", Kid: kid, N: number(key.N), E: number(big.NewInt(int64(key.E)))}
}

func privateKey(key *rsa.PrivateKey, kid string) privateJWK {
	key.Precompute()
	return privateJWK{
		publicJWK: publicKey(&key.PublicKey, kid),
		D:         number(key.D), P: number(key.Primes[0]), Q: number(key.Primes[1]),
		Dp: number(key.Precomputed.Dp), Dq: number(key.Precomputed.Dq), Qi: number(key.Precomputed.Qinv),
	}
}

// encode is v as the content of a file.
func encode(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		panic(err) // made of strings
	}
	return b.Bytes()
}

// newID is a random UUID (RFC 9562, version 4): a kid has to be one of its kind.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
