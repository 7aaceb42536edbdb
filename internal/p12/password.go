package p12

import (
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// secret is one reading of the password. Tools agree on it while it is ASCII and not empty; beyond that they do not.
type secret struct {
	text string
	bmp  []byte // for what RFC 7292, appendix B derives: UTF-16BE with a zero at the end (B.1)
}

// readings lists what tools make of a password, the right one first. `openssl pkcs12` tries the same ones.
func readings(password string) []secret {
	if password == "" {
		// Windows and Java derive from the terminator alone, others from no bytes at all.
		return []secret{{bmp: []byte{0, 0}}, {bmp: nil}}
	}
	if !utf8.ValidString(password) { // a Latin-1 configuration file
		password = latin1ToUTF8(password)
	}
	all := []secret{{password, bmpString(password)}}
	if !isASCII(password) {
		// OpenSSL before 1.1.0 took every byte of UTF-8 for a character: OPENSSL_asc2uni.
		broken := latin1ToUTF8(password)
		all = append(all, secret{broken, bmpString(broken)})
	}
	return all
}

// octets lists what tools give to PBKDF2, the right one first: UTF-8 says RFC 8018, section 3. Some take the Latin-1 bytes
// (node-forge), or the BMP string with its terminator as for the older algorithms (NSS before 3.47).
func (s secret) octets() [][]byte {
	all := [][]byte{[]byte(s.text)}
	if latin1, ok := utf8ToLatin1(s.text); ok && !isASCII(s.text) {
		all = append(all, latin1)
	}
	return append(all, s.bmp)
}

func bmpString(s string) []byte {
	units := utf16.Encode([]rune(s))
	b := make([]byte, 0, 2*len(units)+2)
	for _, u := range units {
		b = append(b, byte(u>>8), byte(u))
	}
	return append(b, 0, 0)
}

func latin1ToUTF8(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

func utf8ToLatin1(s string) (b []byte, ok bool) {
	for _, r := range s {
		if r > 0xff {
			return nil, false
		}
		b = append(b, byte(r))
	}
	return b, true
}

func isASCII(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(b byte) bool { return b >= utf8.RuneSelf })
}
