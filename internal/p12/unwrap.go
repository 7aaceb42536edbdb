package p12

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"strings"
	"unicode/utf16"
)

// maxWrappings is how many layers of text are taken off: base64 twice in UTF-16 in a data URI, and one more.
const maxWrappings = 5

// unwrap takes off what text the file came as, and recognises files that are something else.
func unwrap(data []byte) ([]byte, error) {
	if len(data) > MaxInput {
		return nil, &UnsupportedError{What: "a file over 2 MiB"}
	}
	if len(bytes.TrimSpace(DecodeText(data))) == 0 {
		return nil, malformed("the input is empty")
	}
	wrapped := false
	for range maxWrappings {
		if err := foreign(data); err != nil {
			return nil, err
		}
		if data[0] == 0x30 { // SEQUENCE; base64 of one begins with M
			return data, nil
		}
		inner, err := takeOff(data)
		if err != nil {
			return nil, err
		}
		if len(inner) == 0 {
			break
		}
		data, wrapped = inner, true
	}
	if wrapped {
		return nil, malformed("base64 of something that is neither DER nor BER")
	}
	return nil, malformed("neither DER, BER, base64 nor PEM")
}

// takeOff takes one layer off; it returns nothing if there is none.
func takeOff(data []byte) ([]byte, error) {
	text := bytes.Trim(DecodeText(data), " \t\r\n\"'")
	if block, _ := pem.Decode(text); block != nil {
		switch block.Type {
		case "PKCS12", "PKCS #12", "PFX", "P12":
			return block.Bytes, nil
		case "CERTIFICATE": // `certutil -encode` says so of every file
			if _, err := parsePFX(block.Bytes); err == nil {
				return block.Bytes, nil
			}
		}
		return nil, malformed("PEM text with a block of type %q", block.Type)
	}
	if inner, ok := Enveloped(text); ok {
		text = inner
	}
	if isBase64(text) {
		if b, err := decodeBase64(text); err == nil {
			return b, nil
		}
	}
	return nil, nil
}

// Enveloped takes the text out of a data URI (RFC 2397), or out of what Azure Key Vault answers for a secret: an object whose
// member value is the file in base64. It reports whether there was such a thing around it.
func Enveloped(text []byte) (inner []byte, ok bool) {
	if bytes.HasPrefix(text, []byte("data:")) {
		_, inner, ok = bytes.Cut(text, []byte(";base64,"))
		return inner, ok
	}
	if len(text) > 0 && text[0] == '{' {
		var secret struct {
			Value *string `json:"value"`
		}
		if json.Unmarshal(text, &secret) == nil && secret.Value != nil {
			return []byte(strings.TrimSpace(*secret.Value)), true
		}
	}
	return nil, false
}

// DecodeText returns text in UTF-8 without a byte order mark: Windows writes both, and UTF-16 too. What is no text it returns as
// it is.
func DecodeText(b []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		order, b = binary.LittleEndian, b[2:]
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		order, b = binary.BigEndian, b[2:]
	case len(b) >= 4 && b[0] != 0 && b[0] < 0x80 && b[1] == 0 && b[2] != 0 && b[3] == 0:
		order = binary.LittleEndian
	case len(b) >= 4 && b[0] == 0 && b[1] != 0 && b[1] < 0x80 && b[2] == 0 && b[3] != 0:
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

func isBase64(text []byte) bool {
	return len(text) > 0 && bytes.IndexFunc(text, func(r rune) bool {
		switch {
		case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return false
		}
		return !strings.ContainsRune("+/-_= \t\r\n", r)
	}) < 0
}

func decodeBase64(text []byte) ([]byte, error) {
	b := make([]byte, 0, len(text))
	for _, c := range text {
		switch c {
		case ' ', '\t', '\r', '\n', '=':
		case '-':
			b = append(b, '+')
		case '_':
			b = append(b, '/')
		default:
			b = append(b, c)
		}
	}
	return base64.RawStdEncoding.AppendDecode(nil, b)
}

// foreign recognises the other keystores of the Java world by how they begin.
func foreign(b []byte) error {
	if len(b) < 12 {
		return nil
	}
	switch binary.BigEndian.Uint32(b) {
	case 0xfeedfeed:
		return &ForeignError{Kind: "JKS"}
	case 0xcececece:
		return &ForeignError{Kind: "JCEKS"}
	case 1, 2:
		return bouncyCastle(b[4:])
	}
	// BCFKS is DER: ObjectStore begins with EncryptedObjectStoreData, whose AlgorithmIdentifier is PBES2.
	head := b[:min(len(b), 64)]
	if i := bytes.Index(head, oidPBES2DER); b[0] == 0x30 && i > 0 {
		if h, rest, err := readHeader(b); err == nil && h.tag[0] == 0x30 {
			if h, rest, err = readHeader(rest); err == nil && h.tag[0] == 0x30 {
				if h, _, err = readHeader(rest); err == nil && h.tag[0] == 0x30 {
					return &ForeignError{Kind: "BCFKS"}
				}
			}
		}
	}
	return nil
}

var oidPBES2DER = []byte{0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d}

// bouncyCastle recognises BKS and UBER after their version: both go on with a salt and an iteration count, then BKS has
// its first entry (a type of 1 to 4, then the alias in modified UTF-8), and UBER has ciphertext.
func bouncyCastle(b []byte) error {
	salt := int(binary.BigEndian.Uint32(b))
	if salt < 8 || salt > 64 || len(b) < 4+salt+4+20 {
		return nil
	}
	b = b[4+salt+4:]
	alias := int(binary.BigEndian.Uint16(b[1:]))
	if b[0] == 0 || b[0] <= 4 && alias <= 256 && len(b) > 3+alias {
		return &ForeignError{Kind: "BKS"}
	}
	return &ForeignError{Kind: "UBER"}
}

// Describe names what is in a file, by its first elements; empty for what it does not know.
func Describe(ber []byte) string {
	der, err := DER(ber)
	if err != nil {
		return ""
	}
	var outer, first, second asn1.RawValue
	if _, err := asn1.Unmarshal(der, &outer); err != nil || outer.Tag != asn1.TagSequence || !outer.IsCompound {
		return ""
	}
	rest, err := asn1.Unmarshal(outer.Bytes, &first)
	if err != nil {
		return ""
	}
	if _, err := asn1.Unmarshal(rest, &second); err != nil {
		return ""
	}
	var oid asn1.ObjectIdentifier
	switch first.Tag {
	case asn1.TagOID:
		if _, err := asn1.Unmarshal(first.FullBytes, &oid); err == nil && oid.Equal(oidSignedData) {
			return PKCS7
		}
	case asn1.TagInteger:
		switch second.Tag {
		case asn1.TagSequence:
			switch {
			case len(first.Bytes) != 1:
			case first.Bytes[0] <= 1:
				return PrivateKey
			case first.Bytes[0] == 3:
				return PKCS12
			}
		case asn1.TagInteger, asn1.TagOctetString:
			return PrivateKey
		}
	case asn1.TagSequence:
		if _, err := asn1.Unmarshal(first.Bytes, &oid); err == nil && second.Tag == asn1.TagOctetString {
			return EncryptedKey
		}
		var version asn1.RawValue
		if _, err := asn1.Unmarshal(first.Bytes, &version); err == nil && second.Tag == asn1.TagSequence &&
			(version.Class == asn1.ClassContextSpecific || version.Tag == asn1.TagInteger) {
			return Certificate
		}
	}
	return ""
}

// What Describe knows.
const (
	PKCS12       = "a PKCS#12 file"
	Certificate  = "a certificate"
	PKCS7        = "a PKCS#7 file, which holds certificates only"
	PrivateKey   = "a private key"
	EncryptedKey = "an encrypted private key"
)

var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
