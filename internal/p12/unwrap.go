package p12

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
)

// unwrap takes base64 and PEM off the file, if that is how it came, and recognises files that are something else.
func unwrap(data []byte) ([]byte, error) {
	if len(data) > maxInput {
		return nil, &UnsupportedError{What: "a file over 2 MiB"}
	}
	if err := foreign(data); err != nil {
		return nil, err
	}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) // what Windows puts before UTF-8 text
	text := bytes.TrimSpace(data)
	if len(text) == 0 {
		return nil, malformed("the input is empty")
	}
	if data[0] == 0x30 { // SEQUENCE; base64 of one begins with M
		return data, nil
	}
	if block, _ := pem.Decode(text); block != nil {
		switch block.Type {
		case "PKCS12", "PKCS #12", "PFX", "P12":
			return inner(block.Bytes)
		}
		return nil, malformed("PEM text with a block of type %q", block.Type)
	}
	if isBase64(text) {
		if b, err := decodeBase64(text); err == nil {
			return inner(b)
		}
	}
	return nil, malformed("neither DER, BER, base64 nor PEM")
}

// inner judges what was in the text.
func inner(b []byte) ([]byte, error) {
	if err := foreign(b); err != nil {
		return nil, err
	}
	if len(b) == 0 || b[0] != 0x30 {
		return nil, malformed("base64 of something that is neither DER nor BER")
	}
	return b, nil
}

func isBase64(text []byte) bool {
	return bytes.IndexFunc(text, func(r rune) bool {
		switch {
		case r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return false
		}
		return !bytes.ContainsRune([]byte("+/-_= \t\r\n"), r)
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
