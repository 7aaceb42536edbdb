package p12

import (
	"crypto/x509/pkix"
	"encoding/asn1"
)

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidEnvelopedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 3}
	oidEncryptedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 6}
)

// contentInfo is PKCS#7's ContentInfo (RFC 2315, section 7).
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
}

// octets is what a contentInfo of type data holds.
func (c contentInfo) octets() (b []byte, err error) {
	return b, unmarshal(c.Content.Bytes, &b)
}

// encryptedData is PKCS#7's EncryptedData (RFC 2315, section 13).
type encryptedData struct {
	Version int
	Info    struct {
		Type      asn1.ObjectIdentifier
		Algorithm pkix.AlgorithmIdentifier
		Content   asn1.RawValue `asn1:"tag:0,optional"`
	}
}

// opener collects what is in the safes of one file.
type opener struct {
	secret  secret
	vouched bool // the MAC agreed with the password
	budget  *Budget
	bags    int
	keys    []keyBag
	certs   []Cert
}

// openSafes goes through AuthenticatedSafe (RFC 7292, section 4.1): a sequence of safes, each encrypted by itself or not.
func (o *opener) openSafes(authenticatedSafe []byte) error {
	return eachElement(authenticatedSafe, func(der []byte) error {
		var info contentInfo
		if err := unmarshal(der, &info); err != nil {
			return err
		}
		switch {
		case info.Type.Equal(oidData):
			safe, err := info.octets()
			if err != nil {
				return err
			}
			return o.collect(safe, "")
		case info.Type.Equal(oidEncryptedData):
			var enc encryptedData
			if err := unmarshal(info.Content.Bytes, &enc); err != nil {
				return err
			}
			safe, err := o.decryptSafe(enc)
			if err != nil {
				return err
			}
			return o.collect(safe, describeEncryption(enc.Info.Algorithm))
		case info.Type.Equal(oidEnvelopedData):
			return unsupported("content of type", info.Type)
		}
		return nil // as openssl: what it is, nobody knows
	})
}

func (o *opener) decryptSafe(enc encryptedData) ([]byte, error) {
	how, err := parseEncryption(enc.Info.Algorithm)
	if err != nil {
		return nil, err
	}
	data := enc.Info.Content.Bytes
	if enc.Info.Content.IsCompound {
		// [0] IMPLICIT OCTET STRING in pieces. Only here is it known that this is no explicit tag.
		data = nil
		for rest := enc.Info.Content.Bytes; len(rest) > 0; {
			if data, rest, err = appendOctets(data, rest, maxDepth); err != nil {
				return nil, malformed("encrypted content: %w", err)
			}
		}
	}
	return how.decrypt(data, o.secret, o.budget)
}

// eachElement calls f with each element of a SEQUENCE in BER, as DER.
func eachElement(ber []byte, f func(der []byte) error) error {
	der, _, err := toDER(ber)
	if err != nil {
		return malformed("reading a safe: %w", err)
	}
	return eachInDER(der, f)
}

// eachInDER is eachElement for what is DER already. It reads one element at a time: encoding/asn1 would make room for as
// many structs as the input has elements before it looks at the first, sixty times the size of the input.
func eachInDER(der []byte, f func(der []byte) error) error {
	var seq asn1.RawValue
	if err := unmarshal(der, &seq); err != nil {
		return err
	}
	if seq.Class != asn1.ClassUniversal || seq.Tag != asn1.TagSequence && seq.Tag != asn1.TagSet || !seq.IsCompound {
		return malformed("tag %d instead of a sequence", seq.Tag)
	}
	for rest := seq.Bytes; len(rest) > 0; {
		h, content, err := readHeader(rest)
		if err != nil {
			return malformed("%w", err)
		}
		element := rest[:len(rest)-len(content)+h.length]
		rest = content[h.length:]
		if err := f(element); err != nil {
			return err
		}
	}
	return nil
}

// unmarshal is asn1.Unmarshal for exactly one element.
func unmarshal(der []byte, v any) error {
	rest, err := asn1.Unmarshal(der, v)
	if err != nil {
		return malformed("%w", err)
	}
	if len(rest) > 0 {
		return malformed("%d bytes too many in a structure", len(rest))
	}
	return nil
}
