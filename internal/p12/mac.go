package p12

import (
	"crypto/hmac"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
)

// pfx is the outermost structure, PFX (RFC 7292, section 4), with what the MAC covers already taken out of its wrapping.
type pfx struct {
	content []byte // AuthenticatedSafe, just as the file has it: that is what the MAC was made over
	mac     *macData
}

type macData struct {
	Mac struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	Salt       []byte
	Iterations *big.Int `asn1:"optional"`
}

func parsePFX(data []byte) (*pfx, error) {
	der, _, err := toDER(data)
	if err != nil {
		return nil, malformed("reading the outer structure: %w", err)
	}
	var raw struct {
		Version  int
		AuthSafe contentInfo
		MacData  asn1.RawValue `asn1:"optional"`
	}
	if what := Describe(der); what != "" && what != PKCS12 {
		return nil, malformed("it is %s", what)
	}
	if err := unmarshal(der, &raw); err != nil {
		return nil, err
	}
	if raw.Version != 3 {
		return nil, malformed("version %d instead of 3", raw.Version)
	}
	if !raw.AuthSafe.Type.Equal(oidData) {
		return nil, unsupported("content of type", raw.AuthSafe.Type)
	}
	p := new(pfx)
	if p.content, err = raw.AuthSafe.octets(); err != nil {
		return nil, err
	}
	if len(raw.MacData.FullBytes) > 0 {
		p.mac = new(macData)
		if err := unmarshal(raw.MacData.FullBytes, p.mac); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// authenticate returns the reading of the password that the MAC agrees with. A file without a MAC says nothing about its
// password, nor whether it is whole: only one without a password either is taken, as Java writes them.
func (p *pfx) authenticate(password string, b *Budget) (secret, error) {
	all := readings(password)
	if p.mac == nil {
		if password != "" {
			return secret{}, &UnsupportedError{What: "a file without a MAC"}
		}
		return all[0], nil
	}
	for _, s := range all {
		ok, err := p.mac.verify(p.content, s, b)
		if err != nil {
			return secret{}, err
		}
		if ok {
			return s, nil
		}
	}
	return secret{}, ErrPassword
}

var oidPBMAC1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}

func (m *macData) verify(content []byte, s secret, b *Budget) (bool, error) {
	if m.Mac.Algorithm.Algorithm.Equal(oidPBMAC1) {
		return m.verifyPBMAC1(content, s, b)
	}
	d, ok := hashByOID(m.Mac.Algorithm.Algorithm)
	if !ok {
		return false, unsupported("a MAC with the hash function", m.Mac.Algorithm.Algorithm)
	}
	count := m.Iterations
	if count == nil {
		count = big.NewInt(1) // the default
	}
	n, err := b.iterations(count, d.cost)
	if err != nil {
		return false, err
	}
	key := derive(d, s.bmp, m.Salt, n, forMAC, d.new().Size())
	return m.equal(d, key, content), nil
}

// verifyPBMAC1 follows RFC 9579; the MacData's own salt and iteration count mean nothing there.
func (m *macData) verifyPBMAC1(content []byte, s secret, b *Budget) (bool, error) {
	var params struct{ KDF, MAC pkix.AlgorithmIdentifier }
	if err := unmarshal(m.Mac.Algorithm.Parameters.FullBytes, &params); err != nil {
		return false, err
	}
	kdf, err := parsePBKDF2(params.KDF)
	if err != nil {
		return false, err
	}
	d, ok := hmacByOID(params.MAC.Algorithm)
	if !ok {
		return false, unsupported("a MAC with the function", params.MAC.Algorithm)
	}
	// Section 5: the length has to be stated and 20 at least, else a forged file could ask for a key that is easy to guess.
	size := kdf.params.KeyLength
	if size < 20 || size > 64 {
		return false, malformed("PBMAC1 key of %d bytes", size)
	}
	for _, password := range s.octets() {
		n, err := b.iterations(kdf.params.Iterations, kdf.cost(size))
		if err != nil {
			return false, err
		}
		key, err := kdf.key(password, n, size)
		if err != nil {
			return false, malformed("PBMAC1: %w", err)
		}
		if m.equal(d, key, content) {
			return true, nil
		}
	}
	return false, nil
}

func (m *macData) equal(d digest, key, content []byte) bool {
	return hmac.Equal(m.Mac.Digest, sum(d, key, content))
}

func sum(d digest, key, content []byte) []byte {
	h := hmac.New(d.new, key)
	h.Write(content)
	return h.Sum(nil)
}
