package keystore

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// odd returns an odd number of so many bits with both ends set.
func odd(t testing.TB, bits int) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	require.NoError(t, err)
	return n.SetBit(n.SetBit(n, bits-1, 1), 0, 1)
}

// forged is a certificate whose signature nobody has made, with a key of any size.
func forged(t testing.TB, subject, issuer string, public any, keyID, issuerKeyID []byte, serial int64) []byte {
	t.Helper()
	signer := hostileSigner(t)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: subject}, SubjectKeyId: keyID, AuthorityKeyId: issuerKeyID,
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true}
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: issuer}, SubjectKeyId: issuerKeyID}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	require.NoError(t, err)
	return der
}

// serial is a number that can be found again in a certificate.
const serial = 0x112233445566

// numbers returns copies of a certificate with serial numbers of their own: that is cheaper than to sign each.
func numbers(cert []byte) func(i int) []byte {
	at := bytes.Index(cert, []byte{0x11, 0x22, 0x33, 0x44, 0x55, 0x66})
	return func(i int) []byte {
		c := slices.Clone(cert)
		c[at+3], c[at+4], c[at+5] = byte(i>>16), byte(i>>8), byte(i)
		return c
	}
}

// resigned is a certificate with a signature of so many bytes, as long as the modulus of who is to have made it.
func resigned(t testing.TB, cert []byte, size int) []byte {
	t.Helper()
	parts := elements(elements(cert)[0].Bytes)
	signature := odd(t, 8*size-8).FillBytes(make([]byte, size))
	return der(t, []asn1.RawValue{parts[0], parts[1], element(t, asn1.BitString{Bytes: signature, BitLength: 8 * size})})
}

var hostileKey *rsa.PrivateKey

func hostileSigner(t testing.TB) *rsa.PrivateKey {
	if hostileKey == nil {
		hostileKey = privateKey(t, "other")
	}
	return hostileKey
}

// pkcs1 writes the numbers of a private RSA key as they are.
func pkcs1(t testing.TB, n, d, p, q *big.Int) []byte {
	return der(t, struct {
		Version          int
		N                *big.Int
		E                int
		D, P, Q          *big.Int
		Dp, Dq, Inverted *big.Int
	}{0, n, 65537, d, p, q, p, q, p})
}

// incomplete is pkcs1 without the numbers that spare the reader work.
func incomplete(t testing.TB, n, d, p, q *big.Int) []byte {
	return der(t, struct {
		Version int
		N       *big.Int
		E       int
		D, P, Q *big.Int
	}{0, n, 65537, d, p, q})
}

func pkcs8(t testing.TB, rsaKey []byte) []byte {
	return der(t, struct {
		Version   int
		Algorithm struct {
			ID   asn1.ObjectIdentifier
			Null asn1.RawValue
		}
		Key []byte
	}{0, struct {
		ID   asn1.ObjectIdentifier
		Null asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, asn1.RawValue{Tag: asn1.TagNull}}, rsaKey})
}

// upTo repeats what f makes up to a size.
func upTo(size int, f func(i int) []byte) (b []byte) {
	for i := 0; ; i++ {
		next := f(i)
		if len(b)+len(next) > size {
			return b
		}
		b = append(b, next...)
	}
}

// hostileFiles are the worst of each kind that keep within the bounds on size.
func hostileFiles(t testing.TB) map[string][]byte {
	const size = p12.MaxInput - 16<<10
	key, leafKey := stored(t, "pki/key.pem"), raw(t, "key")
	ourPublic := privateKey(t, "key").Public()
	large := &rsa.PublicKey{N: odd(t, maxRSABits), E: 1<<31 - 1}
	small := &rsa.PublicKey{N: odd(t, 2048), E: 65537}
	curve, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	require.NoError(t, err)

	// Issuers of one name for a chain that never ends, each with a key that is slow to check with.
	issuers := func(public any, signature int) [][]byte {
		certs := [][]byte{resigned(t, forged(t, "leaf", "CA", ourPublic, nil, nil, 1), signature)}
		number := numbers(forged(t, "CA", "CB", public, nil, nil, serial))
		for i := range 600 {
			certs = append(certs, number(i))
		}
		return certs
	}
	certPEM := func(certs [][]byte) (b []byte) {
		for _, c := range certs {
			b = append(b, pemOf("CERTIFICATE", c)...)
		}
		return b
	}
	numbered := numbers(forged(t, "CA", "CA2", small, nil, nil, serial))
	manyKeys := make([]storeKey, 0, 2000)
	manyCerts := [][]byte{raw(t, "leaf"), raw(t, "ca")}
	for total := 0; total < size; {
		n := odd(t, 2048)
		k := pkcs8(t, pkcs1(t, n, odd(t, 2047), odd(t, 1024), odd(t, 1024)))
		manyKeys = append(manyKeys, storeKey{pkcs8: k})
		total += len(k) + 60
	}
	// Keys whose primes multiply to the modulus, and which want a power modulo the longer of them.
	slowKey := func(long, short int) []byte {
		p, q := odd(t, long), odd(t, short)
		n := new(big.Int).Mul(p, q)
		return pkcs8(t, incomplete(t, n, new(big.Int).Rsh(n, 1), p, q))
	}
	var slowKeys []storeKey
	for range 120 {
		slowKeys = append(slowKeys, storeKey{pkcs8: slowKey(4096, 4096)})
	}
	jwkNumber := func(bits int) string { return base64.RawURLEncoding.EncodeToString(odd(t, bits).Bytes()) }
	p, q := odd(t, 4096), odd(t, 4096)
	jwkOf := func(members object) []byte {
		b, err := json.Marshal(members)
		require.NoError(t, err)
		return b
	}
	attributes := upTo(size, func(int) []byte { return []byte{0x30, 0x00} })
	return map[string][]byte{
		"PEM: issuers of 8192 bits, e = 2^31-1":   append(slices.Clone(key), certPEM(issuers(large, maxRSABits/8))...),
		"PEM: issuers on P-521":                   append(slices.Clone(key), certPEM(issuers(curve.Public(), 256))...),
		"PEM: as many issuers as fit":             slices.Concat(key, pemOf("CERTIFICATE", forged(t, "leaf", "CA", ourPublic, nil, nil, 1)), upTo(size-8000, func(i int) []byte { return pemOf("CERTIFICATE", numbered(i)) })),
		"PEM: a key with the longest prime":       pemOf("PRIVATE KEY", slowKey(8000, 100)),
		"PEM: the same key again and again":       upTo(size, func(int) []byte { return key }),
		"PKCS#12: keys with the longest prime":    plainStore(t, []storeKey{{pkcs8: slowKey(8000, 100)}, {pkcs8: slowKey(8000, 101)}, {pkcs8: slowKey(8000, 102)}}, manyCerts...),
		"PKCS#12: keys of 8192 bits":              plainStore(t, slowKeys, manyCerts...),
		"PEM: encrypted keys":                     upTo(size, func(int) []byte { return stored(t, "pkcs8-encrypted.pem") }),
		"PEM: backslashes":                        slices.Concat(key, bytes.Repeat([]byte(`\n`), (size-8000)/2)),
		"PEM: colons":                             slices.Concat([]byte("-----BEGIN X-----\n"), bytes.Repeat([]byte(":\n"), size/2), []byte("-----END X-----\n")),
		"PEM: UTF-16":                             utf16of(strings.Repeat("-----BEGIN X-----\n-----END X-----\n", size/70)),
		"PEM: base64 three times":                 []byte(base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("A"), size/2))))),
		"PKCS#12: issuers of 8192 bits":           plainStore(t, []storeKey{{pkcs8: leafKey}}, issuers(large, maxRSABits/8)...),
		"PKCS#12: keys":                           plainStore(t, manyKeys, manyCerts...),
		"PKCS#12: certificates":                   plainStore(t, []storeKey{{pkcs8: leafKey}}, manyCertificates(t, size, numbered)...),
		"PKCS#12: attributes of a key":            plainStore(t, []storeKey{{pkcs8: leafKey, attributes: attributes}}, raw(t, "leaf"), raw(t, "ca")),
		"PKCS#12: certificates that do not parse": plainStore(t, []storeKey{{pkcs8: leafKey}}, manyCertificates(t, size, func(i int) []byte { return append([]byte{0x30, 0x82, 0x01, 0x00}, make([]byte, 256)...) })...),
		"JWK: 8192 bits without primes":           jwkOf(object{"kty": "RSA", "kid": "k", "n": jwkNumber(maxRSABits), "e": "AQAB", "d": jwkNumber(maxRSABits)}),
		"JWK: primes of 4096 bits": jwkOf(object{"kty": "RSA", "kid": "k", "n": base64.RawURLEncoding.EncodeToString(new(big.Int).Mul(p, q).Bytes()), "e": "AQAB", "d": jwkNumber(8000),
			"p": base64.RawURLEncoding.EncodeToString(p.Bytes()), "q": base64.RawURLEncoding.EncodeToString(q.Bytes())}),
		"JWK: nested":        []byte(strings.Repeat(`{"keys":[`, 7000)),
		"JWK: a set of many": []byte(`{"keys":[` + strings.Repeat(`{"kty":"RSA","d":"AQAB"},`, 2600) + `{}]}`),
	}
}

func manyCertificates(t testing.TB, size int, f func(i int) []byte) (certs [][]byte) {
	certs = [][]byte{forged(t, "leaf", "CA", privateKey(t, "key").Public(), nil, nil, 1)}
	for i, total := 0, 0; total < size-40_000; i++ {
		c := f(i)
		certs = append(certs, c)
		total += len(c) + 60
	}
	return certs
}

// exhausting are files that use up a second of a fast processor. One of each kind is left to every test run.
var exhausting = map[string]bool{
	"PEM: issuers of 8192 bits, e = 2^31-1": true, "PKCS#12: issuers of 8192 bits": true, "PKCS#12: keys with the longest prime": true, "PEM: a key with the longest prime": true,
}

// TestHostileFiles prints a table: go test -v -run HostileFiles -slow. The bounds allow for a slow and busy machine.
func TestHostileFiles(t *testing.T) {
	files := hostileFiles(t)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if exhausting[name] && (raceDetector || !*slowToo) {
			continue
		}
		data := files[name]
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		var err error
		if strings.HasPrefix(name, "PEM") {
			_, err = PEM("", data)
		} else {
			var content *Content
			if content, err = Open(data, ""); err == nil {
				_, err = content.Key("", time.Now())
			}
		}
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		t.Logf("| %s | %d kB | %.2f s | %d MB, %d allocations | %s |", name, len(data)>>10, took.Seconds(),
			(after.TotalAlloc-before.TotalAlloc)>>20, after.Mallocs-before.Mallocs, strings.ReplaceAll(fmt.Sprintf("%.90v", err), "|", "/"))
		limit, memory := 10*time.Second, uint64(400<<20)
		if raceDetector { // which makes what it watches larger, too
			limit *= 6
			memory *= 3
		}
		assert.Less(t, took, limit, name)
		assert.Less(t, after.TotalAlloc-before.TotalAlloc, memory, name)
	}
}
