package p12

import (
	"bytes"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The parts of hostile files.
type (
	rawPBKDF2 struct {
		Salt       []byte
		Iterations *big.Int
		KeyLength  int `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier
	}
	rawInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
)

func explicit(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

func der(t testing.TB, v any) []byte {
	b, err := asn1.Marshal(v)
	require.NoError(t, err)
	return b
}

func pbe(t testing.TB, last int, iterations *big.Int) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: append(asn1.ObjectIdentifier(arcPBE), last),
		Parameters: asn1.RawValue{FullBytes: der(t, pbeParams{[]byte("saltsalt"), iterations})}}
}

func pbkdf2Of(t testing.TB, prf int, iterations *big.Int, size int) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oidPBKDF2, Parameters: asn1.RawValue{FullBytes: der(t, rawPBKDF2{
		[]byte("saltsalt"), iterations, size, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, prf}}})}}
}

func pbes2(t testing.TB, prf int, iterations *big.Int) pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: der(t, []pkix.AlgorithmIdentifier{
		pbkdf2Of(t, prf, iterations, 0),
		{Algorithm: append(asn1.ObjectIdentifier(arcAES), 42), Parameters: asn1.RawValue{FullBytes: der(t, make([]byte, 16))}},
	})}}
}

func encryptedSafe(t testing.TB, alg pkix.AlgorithmIdentifier, ciphertext []byte) rawInfo {
	var enc encryptedData
	enc.Info.Type, enc.Info.Algorithm = oidData, alg
	enc.Info.Content = asn1.RawValue{Class: asn1.ClassContextSpecific, Bytes: ciphertext}
	return rawInfo{oidEncryptedData, explicit(der(t, enc))}
}

func plainSafe(t testing.TB, bags ...safeBag) rawInfo {
	return rawInfo{oidData, explicit(der(t, der(t, bags)))}
}

func shrouded(t testing.TB, alg pkix.AlgorithmIdentifier, ciphertext []byte) safeBag {
	return safeBag{ID: oidShroudedKeyBag, Value: explicit(der(t, struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{alg, ciphertext}))}
}

// unsealed is a file without a MAC, for the empty password.
func unsealed(t testing.TB, infos ...rawInfo) []byte {
	return der(t, struct {
		Version int
		Content rawInfo
	}{3, rawInfo{oidData, explicit(der(t, der(t, infos)))}})
}

// sealed is a file with a MAC that no password fits.
func sealed(t testing.TB, alg pkix.AlgorithmIdentifier, iterations *big.Int) []byte {
	m := macData{Salt: []byte("saltsalt"), Iterations: iterations}
	m.Mac.Algorithm, m.Mac.Digest = alg, make([]byte, 20)
	return der(t, struct {
		Version int
		Content rawInfo
		MAC     macData
	}{3, rawInfo{oidData, explicit(der(t, der(t, []rawInfo{})))}, m})
}

func TestIterationCounts(t *testing.T) {
	huge := new(big.Int).Lsh(big.NewInt(1), 1000)
	for _, test := range []struct {
		reason string
		count  *big.Int
		says   string
	}{
		{"a billion", big.NewInt(1e9), "1000000000"},
		{"what overflows an int32", big.NewInt(1 << 31), "2147483648"},
		{"what overflows an int64", new(big.Int).Lsh(big.NewInt(1), 63), "9223372036854775808"},
		{"what would fill the error", huge, "2^1000"},
		{"none", big.NewInt(0), "not positive"},
		{"less than none", big.NewInt(-1), "not positive"},
	} {
		sha1 := pkix.AlgorithmIdentifier{Algorithm: oidSHA1}
		pbmac1 := pkix.AlgorithmIdentifier{Algorithm: oidPBMAC1, Parameters: asn1.RawValue{FullBytes: der(t, []pkix.AlgorithmIdentifier{
			pbkdf2Of(t, 9, test.count, 32), {Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}}})}}
		for where, file := range map[string][]byte{
			"MAC":            sealed(t, sha1, test.count),
			"PBMAC1":         sealed(t, pbmac1, big.NewInt(1)),
			"a safe, PBE":    unsealed(t, encryptedSafe(t, pbe(t, 3, test.count), make([]byte, 64))),
			"a safe, PBES1":  unsealed(t, encryptedSafe(t, pkix.AlgorithmIdentifier{Algorithm: append(asn1.ObjectIdentifier(arcPBES1), 3), Parameters: pbe(t, 3, test.count).Parameters}, make([]byte, 64))),
			"a safe, PBES2":  unsealed(t, encryptedSafe(t, pbes2(t, 9, test.count), make([]byte, 64))),
			"a key, PBE":     unsealed(t, plainSafe(t, shrouded(t, pbe(t, 3, test.count), make([]byte, 64)))),
			"a key, SHA-512": unsealed(t, plainSafe(t, shrouded(t, pbes2(t, 11, test.count), make([]byte, 64)))),
		} {
			t.Run(test.reason+" in "+where, func(t *testing.T) {
				_, err := Open(file, "", NewBudget())
				assert.ErrorContains(t, err, test.says)
				assert.Less(t, len(err.Error()), 200)
			})
		}
	}
}

// TestCost opens files of one megabyte that are hostile in every way but iteration counts. They take a tenth of a second
// and 40 MB at most (go test -v prints it); the bounds here allow for a slow and busy machine.
func TestCost(t *testing.T) {
	fill := func(n int, f func() []byte) (b []byte) {
		for len(b) < n {
			b = append(b, f()...)
		}
		return b
	}
	sequence := func(content []byte) []byte {
		return der(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: content})
	}
	const megabyte = 1 << 20
	raw := func(safe []byte) []byte { return unsealed(t, rawInfo{oidData, explicit(der(t, safe))}) }
	noise := make([]byte, megabyte)
	_, _ = rand.Read(noise)
	certificate := der(t, struct {
		ID   asn1.ObjectIdentifier
		Data asn1.RawValue
	}{oidX509Certificate, explicit(der(t, leafDER(t)))})

	for _, test := range []struct {
		reason string
		file   []byte
	}{
		{"a megabyte of 3DES", unsealed(t, encryptedSafe(t, pbe(t, 3, big.NewInt(2048)), noise))},
		{"a megabyte of RC2", unsealed(t, encryptedSafe(t, pbe(t, 6, big.NewInt(2048)), noise))},
		{"a megabyte of empty bags", raw(sequence(fill(megabyte, func() []byte { return []byte{0x30, 0x00} })))},
		{"a megabyte of empty safes", raw(fill(megabyte, func() []byte { return []byte{0x30, 0x00} }))},
		{"a megabyte of small bags", raw(sequence(fill(megabyte, func() []byte {
			return der(t, safeBag{ID: asn1.ObjectIdentifier{1, 2, 3}, Value: explicit([]byte{0x05, 0x00})})
		})))},
		{"a megabyte of certificates", raw(sequence(bytes.Repeat(der(t, safeBag{ID: oidCertBag, Value: explicit(certificate)}), megabyte/len(certificate))))},
		{"a megabyte of attributes", raw(sequence(der(t, safeBag{ID: oidCertBag, Value: explicit(certificate), Attributes: asn1.RawValue{
			Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Repeat([]byte{0x30, 0x00}, megabyte/2)}})))},
		{"a megabyte of openings", bytes.Repeat([]byte{0x30, 0x80}, megabyte/2)},
		{"a megabyte of pieces", append([]byte{0x30, 0x80, 0x02, 0x01, 0x03, 0x24, 0x80}, bytes.Repeat([]byte{0x04, 0x00}, megabyte/2)...)},
		{"a megabyte of the letter A", bytes.Repeat([]byte{'A'}, megabyte)},
		{"a megabyte of PEM openings", bytes.Repeat([]byte("-----BEGIN X-----\n"), megabyte/18)},
	} {
		t.Run(test.reason, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := Open(test.file, "", NewBudget())
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			t.Logf("%v, %d kB allocated, heap %d kB: %.100v", took, (after.TotalAlloc-before.TotalAlloc)>>10, after.HeapSys>>10, err)
			assert.Less(t, took, 10*time.Second)
			assert.Less(t, after.HeapSys, uint64(300<<20))
		})
	}
}

// BenchmarkLimits opens the files that cost most: each just keeps within the limit for key derivation.
func BenchmarkLimits(b *testing.B) {
	sha512 := pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}}
	const maxKeys = 16
	keys := make([]safeBag, maxKeys)
	for i := range keys {
		keys[i] = shrouded(b, pbe(b, 3, big.NewInt(maxDerivation/12/maxKeys)), make([]byte, MaxKey-256))
	}
	safes := make([]rawInfo, 400)
	for i := range safes {
		safes[i] = encryptedSafe(b, pbes2(b, 9, big.NewInt(600_000)), make([]byte, 2048))
	}
	for name, file := range map[string][]byte{
		"MAC":           sealed(b, pkix.AlgorithmIdentifier{Algorithm: oidSHA1}, big.NewInt(maxDerivation/4)),
		"MAC SHA-512":   sealed(b, sha512, big.NewInt(maxDerivation/15)),
		"PBES2":         unsealed(b, encryptedSafe(b, pbes2(b, 9, big.NewInt(maxDerivation/11)), make([]byte, 64))),
		"PBES2 SHA-512": unsealed(b, encryptedSafe(b, pbes2(b, 11, big.NewInt(maxDerivation/41)), make([]byte, 64))),
		"3DES":          unsealed(b, encryptedSafe(b, pbe(b, 3, big.NewInt(maxDerivation/12)), make([]byte, 64))),
		"keys":          unsealed(b, plainSafe(b, keys...)),
		"safes":         unsealed(b, safes...),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Open(file, "", NewBudget()); err == nil {
					b.Fatal("opened")
				}
			}
		})
	}
}

// TestBudgetIsShared wants the sum of what a file asks for to count, however it is spread.
func TestBudgetIsShared(t *testing.T) {
	b := &Budget{derivation: 100}
	n, err := b.iterations(big.NewInt(20), 4)
	require.NoError(t, err)
	assert.Equal(t, 20, n)
	_, err = b.iterations(big.NewInt(6), 4)
	var unsupported *UnsupportedError
	require.ErrorAs(t, err, &unsupported)
	_, err = b.iterations(big.NewInt(5), 4)
	require.NoError(t, err)
}
