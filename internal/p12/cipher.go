package p12

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
)

// encryption is what an AlgorithmIdentifier says about how a safe or a key was encrypted: always a block cipher in CBC mode.
type encryption struct {
	iterations *big.Int
	cost       int                   // of one iteration
	passwords  func(secret) [][]byte // the bytes to derive from, the likeliest first
	blockMode  func(password []byte, iterations int) (cipher.BlockMode, error)
	instead    *encryption // what the file may mean by it, should that not fit; nil for most
}

var (
	oidPBES2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	arcPBE   = []int{1, 2, 840, 113549, 1, 12, 1}
	arcPBES1 = []int{1, 2, 840, 113549, 1, 5}
	arcAES   = []int{2, 16, 840, 1, 101, 3, 4, 1}
)

func parseEncryption(alg pkix.AlgorithmIdentifier) (*encryption, error) {
	switch {
	case alg.Algorithm.Equal(oidPBES2):
		return parsePBES2(alg)
	case under(alg.Algorithm, arcPBE...):
		return parsePBE(alg)
	case under(alg.Algorithm, arcPBES1...):
		return parsePBES1(alg)
	}
	return nil, unsupported("encryption with", alg.Algorithm)
}

// pbeParams is pkcs-12PbeParams (RFC 7292, appendix C) and PBEParameter (RFC 8018, appendix A.3).
type pbeParams struct {
	Salt       []byte
	Iterations *big.Int
}

// parsePBE reads the algorithms of RFC 7292, appendix C.
func parsePBE(alg pkix.AlgorithmIdentifier) (*encryption, error) {
	var size int
	newBlock := des.NewTripleDESCipher
	switch alg.Algorithm[len(arcPBE)] {
	case 3:
		size = 24
	case 4: // two keys: the first is the third, too
		size = 16
		newBlock = func(key []byte) (cipher.Block, error) {
			return des.NewTripleDESCipher(append(key[:16:16], key[:8]...))
		}
	case 5, 6:
		size = 16
		if alg.Algorithm[len(arcPBE)] == 6 {
			size = 5
		}
		newBlock = func(key []byte) (cipher.Block, error) { return newRC2(key, 8*len(key)), nil }
	default:
		return nil, unsupported("encryption with", alg.Algorithm)
	}
	var params pbeParams
	if err := unmarshal(alg.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	return &encryption{
		iterations: params.Iterations,
		cost:       deriveCost(sha1Digest, size) + deriveCost(sha1Digest, 8),
		passwords:  func(s secret) [][]byte { return [][]byte{s.bmp} },
		blockMode: func(password []byte, n int) (cipher.BlockMode, error) {
			block, err := newBlock(derive(sha1Digest, password, params.Salt, n, forKey, size))
			if err != nil {
				return nil, err
			}
			return cipher.NewCBCDecrypter(block, derive(sha1Digest, password, params.Salt, n, forIV, 8)), nil
		},
	}, nil
}

// parsePBES1 reads what PKCS#5 had before PBES2 (RFC 8018, appendix A.3): DES or RC2, the key from PBKDF1.
func parsePBES1(alg pkix.AlgorithmIdentifier) (*encryption, error) {
	d := md5Digest
	newBlock := des.NewCipher
	switch alg.Algorithm[len(arcPBES1)] {
	case 3, 6:
	case 10, 11:
		d = sha1Digest
	default:
		return nil, unsupported("encryption with", alg.Algorithm)
	}
	switch alg.Algorithm[len(arcPBES1)] {
	case 6, 11:
		newBlock = func(key []byte) (cipher.Block, error) { return newRC2(key, 64), nil }
	}
	var params pbeParams
	if err := unmarshal(alg.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	return &encryption{
		iterations: params.Iterations,
		cost:       d.cost,
		passwords:  secret.octets,
		blockMode: func(password []byte, n int) (cipher.BlockMode, error) {
			h := d.new()
			h.Write(password)
			h.Write(params.Salt)
			key := h.Sum(nil)
			for range n - 1 {
				h.Reset()
				h.Write(key)
				key = h.Sum(key[:0])
			}
			block, err := newBlock(key[:8])
			if err != nil {
				return nil, err
			}
			return cipher.NewCBCDecrypter(block, key[8:16]), nil
		},
	}, nil
}

// parsePBES2 reads PBES2 (RFC 8018, appendix A.4) with AES.
func parsePBES2(alg pkix.AlgorithmIdentifier) (*encryption, error) {
	var params struct{ KDF, Scheme pkix.AlgorithmIdentifier }
	if err := unmarshal(alg.Parameters.FullBytes, &params); err != nil {
		return nil, err
	}
	var size int
	if under(params.Scheme.Algorithm, arcAES...) {
		size = map[int]int{2: 16, 22: 24, 42: 32}[params.Scheme.Algorithm[len(arcAES)]]
	}
	if size == 0 {
		return nil, unsupported("encryption with", params.Scheme.Algorithm)
	}
	var iv []byte
	if err := unmarshal(params.Scheme.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	if len(iv) != aes.BlockSize {
		return nil, malformed("initialisation vector of %d bytes", len(iv))
	}
	kdf, err := parsePBKDF2(params.KDF)
	if err != nil {
		return nil, err
	}
	how := aesCBC(kdf, size, iv)
	// NSS has written aes128-CBC and aes192-CBC, and encrypted with the 32 bytes that it stated as keyLength.
	if stated := kdf.params.KeyLength; stated == 32 && size < stated {
		how.instead = aesCBC(kdf, stated, iv)
	}
	return how, nil
}

func aesCBC(kdf pbkdf2KDF, size int, iv []byte) *encryption {
	return &encryption{
		iterations: kdf.params.Iterations,
		cost:       kdf.cost(size),
		passwords:  secret.octets,
		blockMode: func(password []byte, n int) (cipher.BlockMode, error) {
			key, err := kdf.key(password, n, size)
			if err != nil {
				return nil, err
			}
			block, err := aes.NewCipher(key)
			if err != nil {
				return nil, err
			}
			return cipher.NewCBCDecrypter(block, iv), nil
		},
	}
}

// decrypt returns the one BER element that the plaintext has to be.
func (e *encryption) decrypt(data []byte, s secret, b *Budget) ([]byte, error) {
	for _, password := range e.passwords(s) {
		n, err := b.iterations(e.iterations, e.cost)
		if err != nil {
			return nil, err
		}
		mode, err := e.blockMode(password, n)
		if err != nil {
			return nil, malformed("decrypting: %w", err)
		}
		if len(data) == 0 || len(data)%mode.BlockSize() != 0 {
			return nil, malformed("%d encrypted bytes are no whole blocks", len(data))
		}
		plain := make([]byte, len(data))
		mode.CryptBlocks(plain, data)
		if plain, ok := unpad(plain, mode.BlockSize()); ok && isSequence(plain) {
			return plain, nil
		}
	}
	if e.instead != nil {
		return e.instead.decrypt(data, s, b)
	}
	return nil, ErrPassword
}

// unpad takes off the padding of RFC 8018, section 6.1.1, step 4.
func unpad(b []byte, blockSize int) ([]byte, bool) {
	n := int(b[len(b)-1])
	if n == 0 || n > blockSize {
		return nil, false
	}
	for _, c := range b[len(b)-n:] {
		if int(c) != n {
			return nil, false
		}
	}
	return b[:len(b)-n], true
}

// isSequence reports whether b is one SEQUENCE: a wrong key gets the padding right by chance, once in 256 times.
func isSequence(b []byte) bool {
	h, rest, err := readHeader(b)
	return err == nil && h.tag[0] == asn1.TagSequence|constructed && (h.indefinite || h.length == len(rest))
}
