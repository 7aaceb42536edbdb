package p12

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"
)

const (
	leafName   = "MASKINPORTEN FOR GO"
	middleName = "Buypass Class 3 Test4 CA G2 ST Business"
	rootName   = "Buypass Class 3 Test4 Root CA G2 ST"
)

// TestOpen looks at what came out of the stores whose content is special.
func TestOpen(t *testing.T) {
	ours := []string{leafName, middleName, rootName}
	for _, test := range []struct {
		reason, file, password string
		keys                   []string // their friendly names
		certificates           []string // their common names
	}{
		{"the ordinary file", "openssl-modern.p12", "changeit", []string{""}, ours},
		{"a name with Norwegian letters", "openssl-name-norsk.p12", "changeit", []string{"blåbærsyltetøy"}, ours},
		{"the order of the file is kept", "craft-ca-first.p12", "changeit", []string{""}, []string{rootName, middleName, leafName}},
		{"one safe per certificate", "craft-five-safes.p12", "changeit", []string{""}, []string{middleName, rootName, leafName}},
		{"three keys in one file", "craft-three-files-in-one.p12", "changeit", []string{"auth", "sign", "enc"},
			[]string{leafName, leafName, leafName, middleName, rootName}},
		{"safes in safes", "craft-nested.p12", "changeit", []string{""}, []string{middleName, rootName, leafName}},
		{"strays are there, too, with a certificate that nobody can read", "craft-strays.p12", "changeit", []string{"", ""},
			[]string{"Stray", "unreadable", leafName, middleName, rootName}},
		{"a name of the wrong type is none", "craft-odd-attributes.p12", "changeit", []string{""}, ours},
		{"Java numbers its entries", "keytool-two-keys.p12", "changeit", []string{"auth", "sign"},
			[]string{leafName, middleName, rootName, leafName}},
		{"a secret key beside", "keytool-secret-key.p12", "changeit", []string{"auth"}, ours},
		{"a Java trust store", "keytool-trust-store.p12", "changeit", nil, []string{rootName}},
		{"a key alone", "openssl-no-certificates.p12", "changeit", []string{""}, nil},
	} {
		t.Run(test.reason, func(t *testing.T) {
			s, err := Open(readStore(t, test.file), test.password, NewBudget())
			require.NoError(t, err)
			var keys, certs []string
			for _, k := range s.Keys {
				keys = append(keys, k.FriendlyName)
			}
			for _, c := range s.Certificates {
				cert, err := x509.ParseCertificate(c.DER)
				if err != nil {
					certs = append(certs, "unreadable")
					continue
				}
				certs = append(certs, cert.Subject.CommonName)
			}
			assert.Equal(t, test.keys, keys)
			if test.file == "keytool-two-keys.p12" {
				assert.ElementsMatch(t, append(test.certificates, middleName, rootName), certs)
				return
			}
			assert.Equal(t, test.certificates, certs)
		})
	}
}

// TestLabels looks at what a file says of its keys and certificates: their names, and how each is encrypted.
func TestLabels(t *testing.T) {
	issuer := func(name string) string {
		return "2.5.4.97=#130f4e54524e4f2d393833313633333237,CN=" + name + ",O=Buypass AS,C=NO: AES-256, 10000 iterations"
	}
	for _, test := range []struct {
		reason, file       string
		keys, certificates []string
	}{
		{"Java names a key's certificate as the key, its issuers by their subjects, and a trusted CA as the user says", "keytool-trusted.p12",
			[]string{"auth: AES-256, 10000 iterations"},
			[]string{"auth: AES-256, 10000 iterations", issuer(middleName), issuer(rootName), "rot: AES-256, 10000 iterations"}},
		{"the key is better encrypted than the certificates", "openssl-legacy.p12",
			[]string{": 3DES, 2048 iterations"},
			[]string{": RC2 of 40 bits, 2048 iterations", ": RC2 of 40 bits, 2048 iterations", ": RC2 of 40 bits, 2048 iterations"}},
		{"nothing is encrypted", "go-passwordless.p12", []string{": "}, []string{": ", ": ", ": "}},
		{"keys have names, and their certificates have none", "craft-three-files-in-one.p12", []string{"auth: ", "sign: ", "enc: "}, []string{": ", ": ", ": ", ": ", ": "}},
	} {
		password := "changeit"
		if test.file == "go-passwordless.p12" {
			password = ""
		}
		s, err := Open(readStore(t, test.file), password, NewBudget())
		require.NoError(t, err, test.reason)
		var keys, certs []string
		for _, k := range s.Keys {
			keys = append(keys, k.FriendlyName+": "+k.Encryption)
		}
		for _, c := range s.Certificates {
			certs = append(certs, c.FriendlyName+": "+c.Encryption)
		}
		assert.Equal(t, test.keys, keys, test.reason)
		assert.Equal(t, test.certificates, certs, test.reason)
	}
}

// TestAgreesWithGoPKCS12 holds this package to go-pkcs12 wherever that reads a store by itself.
func TestAgreesWithGoPKCS12(t *testing.T) {
	agreed := 0
	for _, row := range readTable(t) {
		if row.slow() {
			continue
		}
		data := readStore(t, row.File)
		key, leaf, chain, err := pkcs12.DecodeChain(data, row.Password)
		if err != nil {
			continue
		}
		agreed++
		s, err := Open(data, row.Password, NewBudget())
		require.NoError(t, err, row.File)
		require.Len(t, s.Keys, 1, row.File)
		agree(t, row.File, s, key, append([]*x509.Certificate{leaf}, chain...))
	}
	assert.Greater(t, agreed, 50)
}

func agree(t *testing.T, file string, s *Store, key any, certs []*x509.Certificate) {
	t.Helper()
	parsed, err := x509.ParsePKCS8PrivateKey(s.Keys[0].PKCS8)
	require.NoError(t, err, file)
	assert.Equal(t, key, parsed, file)
	var theirs, ours [][]byte
	for _, cert := range certs {
		theirs = append(theirs, cert.Raw)
	}
	for _, cert := range s.Certificates {
		ours = append(ours, cert.DER)
	}
	assert.Equal(t, theirs, ours, file)
}

// TestPasswords opens one store with the password spelt as different programs would hand it over.
func TestPasswords(t *testing.T) {
	for _, test := range []struct {
		reason, file, password string
		err                    error
	}{
		{"UTF-8", "openssl-norsk.p12", "blåbærsyltetøy", nil},
		{"UTF-8, for the older algorithms", "openssl-norsk-legacy.p12", "blåbærsyltetøy", nil},
		{"Latin-1 from an old configuration file", "openssl-norsk-legacy.p12", "bl\xe5b\xe6rsyltet\xf8y", nil},
		{"Latin-1, for PBES2", "openssl-norsk.p12", "bl\xe5b\xe6rsyltet\xf8y", nil},
		{"PBES2 took the Latin-1 bytes", "forge-norsk-aes.p12", "blåbærsyltetøy", nil},
		{"UTF-8 taken for Latin-1", "craft-utf8-as-latin1.p12", "blåbærsyltetøy", nil},
		{"empty, with the terminator", "openssl-empty-legacy.p12", "", nil},
		{"empty, without the terminator", "craft-empty-array.p12", "", nil},
		{"wrong", "openssl-norsk.p12", "blabarsyltetoy", ErrPassword},
		{"wrong, older algorithms", "openssl-legacy.p12", "Changeit", ErrPassword},
		{"a newline too many", "openssl-modern.p12", "changeit\n", ErrPassword},
		{"none", "openssl-modern.p12", "", ErrPassword},
		{"one where there is none", "openssl-empty.p12", "changeit", ErrPassword},
		{"no character of the basic plane", "openssl-modern.p12", "🫐", ErrPassword},
	} {
		t.Run(test.reason, func(t *testing.T) {
			s, err := Open(readStore(t, test.file), test.password, NewBudget())
			assert.ErrorIs(t, err, test.err)
			if test.err == nil {
				require.NoError(t, err)
				assert.Len(t, s.Keys, 1)
			}
		})
	}
}

// TestDamaged damages every third byte of a file, and cuts it in many places: there is an error or the same store, and no panic.
func TestDamaged(t *testing.T) {
	good := readStore(t, "openssl-legacy.p12")
	for i := 0; i < len(good); i += 3 {
		b := append([]byte(nil), good...)
		b[i] ^= 0x41
		if s, err := Open(b, "changeit", NewBudget()); err == nil {
			assert.Len(t, s.Keys, 1, "byte %d", i)
		}
		if i%48 == 0 {
			_, err := Open(good[:i], "changeit", NewBudget())
			assert.Error(t, err, "cut at %d", i)
		}
	}
}

// TestKeyLengthOfNSS: files say AES-128 and a keyLength of 32, and were encrypted with those 32 bytes.
func TestKeyLengthOfNSS(t *testing.T) {
	plain := der(t, []int{1, 2, 3})
	for _, test := range []struct {
		reason         string
		stated, actual int
		scheme         int
		err            error
	}{
		{"as it should be", 16, 16, 2, nil},
		{"a length is not stated", 0, 16, 2, nil},
		{"AES-128, and the first 16 of 32 bytes", 32, 16, 2, nil},
		{"AES-128, and all 32", 32, 32, 2, nil},
		{"AES-192, and all 32", 32, 32, 22, nil},
		{"AES-256, and only 16", 16, 16, 42, ErrPassword},
	} {
		kdf := pbkdf2Of(t, 9, big.NewInt(10), test.stated)
		alg := pkix.AlgorithmIdentifier{Algorithm: oidPBES2, Parameters: asn1.RawValue{FullBytes: der(t, []pkix.AlgorithmIdentifier{
			kdf, {Algorithm: append(asn1.ObjectIdentifier(arcAES), test.scheme), Parameters: asn1.RawValue{FullBytes: der(t, make([]byte, 16))}}})}}
		key, err := pbkdf2.Key(sha256.New, "pw", []byte("saltsalt"), 10, test.actual)
		require.NoError(t, err)
		block, err := aes.NewCipher(key)
		require.NoError(t, err)
		padded := append(append([]byte(nil), plain...), bytes.Repeat([]byte{byte(16 - len(plain)%16)}, 16-len(plain)%16)...)
		cipher.NewCBCEncrypter(block, make([]byte, 16)).CryptBlocks(padded, padded)

		how, err := parseEncryption(alg)
		require.NoError(t, err)
		got, err := how.decrypt(padded, readings("pw")[0], NewBudget())
		assert.ErrorIs(t, err, test.err, test.reason)
		if test.err == nil {
			assert.Equal(t, plain, got, test.reason)
		}
	}
}

// TestManyAttributes: a name behind more attributes than any tool writes is no name, and costs nothing.
func TestManyAttributes(t *testing.T) {
	name := der(t, struct {
		ID     asn1.ObjectIdentifier
		Values asn1.RawValue
	}{oidFriendlyName, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: der(t, asn1.RawValue{Tag: asn1.TagBMPString, Bytes: []byte{0, 'a'}})}})
	set := func(before int) asn1.RawValue {
		return asn1.RawValue{FullBytes: der(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: append(bytes.Repeat([]byte{0x30, 0}, before), name...)})}
	}
	assert.Equal(t, "a", friendlyName(set(0)))
	assert.Equal(t, "a", friendlyName(set(maxAttributes-1)))
	assert.Empty(t, friendlyName(set(maxAttributes)))
	allocated := testing.AllocsPerRun(1, func() { friendlyName(set(500_000)) })
	assert.Less(t, allocated, 500.0)
}

// TestBudgetIsEnough: GnuTLS and NSS make 600,000 iterations for the MAC, the key and every certificate; SHA-512 is the dearest.
func TestBudgetIsEnough(t *testing.T) {
	b := NewBudget()
	_, err := b.iterations(big.NewInt(600_000), sha2[2].cost)
	require.NoError(t, err)
	for range 6 {
		_, err := b.iterations(big.NewInt(600_000), pbkdf2KDF{prf: sha2[2]}.cost(32))
		require.NoError(t, err)
	}
	for range 40 {
		_, err := b.iterations(big.NewInt(10_000), pbkdf2KDF{prf: sha2[0]}.cost(32)) // Java's many keys
		require.NoError(t, err)
	}
	_, err = b.iterations(big.NewInt(10_000_000), sha2[2].cost)
	require.Error(t, err)
	for range 30 {
		assert.True(t, b.PayRSA(4096, 17), "the chains of ten keys")
	}
	assert.False(t, b.PayRSA(1<<20, 31))
}
