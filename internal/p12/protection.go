package p12

import (
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// Protection is how a PKCS#12 file keeps what is in it, in words.
type Protection struct {
	MAC        string   // empty if there is none
	Encryption []string // of its safes and keys, each once; as far as can be seen without the password
}

// Inspect returns how a file is protected. It needs no password, and so works
// on a file that does not open.
func Inspect(data []byte) (*Protection, error) {
	data, err := unwrap(data)
	if err != nil {
		return nil, err
	}
	file, err := parsePFX(data)
	if err != nil {
		return nil, err
	}
	p := &Protection{}
	if file.mac != nil {
		p.MAC = file.mac.describe()
	}
	return p, eachElement(file.content, func(der []byte) error {
		var info contentInfo
		if err := unmarshal(der, &info); err != nil {
			return err
		}
		switch {
		case info.Type.Equal(oidEncryptedData):
			var enc encryptedData
			if err := unmarshal(info.Content.Bytes, &enc); err != nil {
				return err
			}
			p.add(describeEncryption(enc.Info.Algorithm))
		case info.Type.Equal(oidData):
			return p.addKeys(info)
		}
		return nil
	})
}

// addKeys adds the encryption of the keys in a safe that is not encrypted itself.
func (p *Protection) addKeys(info contentInfo) error {
	safe, err := info.octets()
	if err != nil {
		return err
	}
	o := new(opener)
	if err := o.collect(safe, ""); err != nil {
		return err
	}
	for _, key := range o.keys {
		if !key.shrouded {
			p.add("none for a key")
			continue
		}
		var shrouded struct {
			Algorithm pkix.AlgorithmIdentifier
			Data      []byte
		}
		if err := unmarshal(key.der, &shrouded); err != nil {
			return err
		}
		p.add(describeEncryption(shrouded.Algorithm))
	}
	return nil
}

func (p *Protection) add(encryption string) {
	if !slices.Contains(p.Encryption, encryption) {
		p.Encryption = append(p.Encryption, encryption)
	}
}

// algorithms are the names of what this package reads; of what it does not
// read, [names] has some.
var algorithms = map[string]string{
	"1.2.840.113549.1.12.1.3": "3DES", "1.2.840.113549.1.12.1.4": "3DES with two keys",
	"1.2.840.113549.1.12.1.5": "RC2 of 128 bits", "1.2.840.113549.1.12.1.6": "RC2 of 40 bits",
	"1.2.840.113549.1.5.3": "DES with MD5", "1.2.840.113549.1.5.6": "RC2 with MD5",
	"1.2.840.113549.1.5.10": "DES with SHA-1", "1.2.840.113549.1.5.11": "RC2 with SHA-1",
	"2.16.840.1.101.3.4.1.2": "AES-128", "2.16.840.1.101.3.4.1.22": "AES-192", "2.16.840.1.101.3.4.1.42": "AES-256",
	"1.2.840.113549.2.5": "MD5", "1.3.14.3.2.26": "SHA-1",
	"2.16.840.1.101.3.4.2.1": "SHA-256", "2.16.840.1.101.3.4.2.2": "SHA-384", "2.16.840.1.101.3.4.2.3": "SHA-512", "2.16.840.1.101.3.4.2.4": "SHA-224",
	"1.2.840.113549.2.7": "SHA-1", "1.2.840.113549.2.9": "SHA-256", "1.2.840.113549.2.10": "SHA-384", "1.2.840.113549.2.11": "SHA-512",
}

func nameOf(alg pkix.AlgorithmIdentifier) string {
	oid := alg.Algorithm.String()
	for _, known := range []map[string]string{algorithms, names} {
		if name, ok := known[oid]; ok {
			return strings.TrimSuffix(name, " encryption")
		}
	}
	return oid
}

func iterated(what string, n *big.Int) string {
	if n == nil || n.IsInt64() && n.Int64() == 1 {
		return what + ", one iteration"
	}
	return fmt.Sprintf("%s, %s iterations", what, shorten(n))
}

func (m *macData) describe() string {
	if !m.Mac.Algorithm.Algorithm.Equal(oidPBMAC1) {
		return iterated("HMAC with "+nameOf(m.Mac.Algorithm), m.Iterations)
	}
	var params struct{ KDF, MAC pkix.AlgorithmIdentifier }
	if unmarshal(m.Mac.Algorithm.Parameters.FullBytes, &params) != nil {
		return "PBMAC1"
	}
	return "PBMAC1, HMAC with " + nameOf(params.MAC)
}

func describeEncryption(alg pkix.AlgorithmIdentifier) string {
	if !alg.Algorithm.Equal(oidPBES2) {
		var params pbeParams
		if unmarshal(alg.Parameters.FullBytes, &params) != nil {
			return nameOf(alg)
		}
		return iterated(nameOf(alg), params.Iterations)
	}
	var params struct{ KDF, Scheme pkix.AlgorithmIdentifier }
	if unmarshal(alg.Parameters.FullBytes, &params) != nil {
		return "PBES2"
	}
	name := nameOf(params.Scheme)
	kdf, err := parsePBKDF2(params.KDF)
	if err != nil {
		return name + " with " + nameOf(params.KDF)
	}
	return iterated(name, kdf.params.Iterations)
}
