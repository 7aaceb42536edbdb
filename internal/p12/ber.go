package p12

import "errors"

var (
	errTruncated = errors.New("data ends early")
	errDepth     = errors.New("nested too deeply")
	errLength    = errors.New("length out of range")
)

const (
	constructed    = 0x20
	tagOctetString = 0x04
)

// toDER rewrites the first BER element of b with definite, minimal lengths and octet strings in one piece (X.690, 10.1 and
// 10.2), which is what encoding/asn1 asks for. What an octet string holds stays as it is. Bytes after the element are rest.
//
// The rest of DER is left to the reader: order in a SET matters to nobody here, and constructed strings of other types do
// not occur where this package looks.
func toDER(b []byte) (der, rest []byte, err error) {
	// Definite lengths are at most two bytes longer than indefinite ones, and few elements are that long.
	return appendDER(make([]byte, 0, len(b)+len(b)/8), b, maxDepth)
}

// DER returns the first element of ber in DER, as far as toDER goes.
func DER(ber []byte) ([]byte, error) {
	if len(ber) > MaxInput {
		return nil, errLength
	}
	der, _, err := toDER(ber)
	return der, err
}

func appendDER(dst, b []byte, depth int) (_, rest []byte, err error) {
	h, b, err := readHeader(b)
	if err != nil {
		return nil, nil, err
	}
	if h.constructed() {
		if depth == 0 {
			return nil, nil, errDepth
		}
		start := len(dst)
		tag := h.tag
		one := appendDER
		if tag[0] == tagOctetString|constructed {
			tag = []byte{tagOctetString}
			one = appendOctets
		}
		rest, err = h.each(b, func(b []byte) (rest []byte, err error) {
			dst, rest, err = one(dst, b, depth-1)
			return rest, err
		})
		if err != nil {
			return nil, nil, err
		}
		return insertHeader(dst, start, tag), rest, nil
	}
	content, rest := b[:h.length], b[h.length:]
	dst = append(dst, h.tag...)
	dst = appendLength(dst, h.length)
	return append(dst, content...), rest, nil
}

// appendOctets appends what is in the octet string at the start of b, in however many pieces it comes.
func appendOctets(dst, b []byte, depth int) (_, rest []byte, err error) {
	h, b, err := readHeader(b)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case len(h.tag) != 1 || h.tag[0]&^constructed != tagOctetString:
		return nil, nil, errors.New("octet string with something else in it")
	case !h.constructed():
		return append(dst, b[:h.length]...), b[h.length:], nil
	case depth == 0:
		return nil, nil, errDepth
	}
	rest, err = h.each(b, func(b []byte) (rest []byte, err error) {
		dst, rest, err = appendOctets(dst, b, depth-1)
		return rest, err
	})
	return dst, rest, err
}

// header is a BER element's identifier and length octets (X.690, 8.1.2 and 8.1.3).
type header struct {
	tag        []byte
	length     int // of the content; with indefinite, unknown
	indefinite bool
}

func (h header) constructed() bool { return h.tag[0]&constructed != 0 }

// each calls f at every element of the content, which stands at the start of b, and returns what follows the content.
func (h header) each(b []byte, f func([]byte) (rest []byte, err error)) (rest []byte, err error) {
	content := b
	if !h.indefinite {
		content, rest = b[:h.length], b[h.length:]
	}
	for {
		switch {
		case h.indefinite && len(content) >= 2 && content[0] == 0 && content[1] == 0:
			return content[2:], nil
		case len(content) == 0 && !h.indefinite:
			return rest, nil
		}
		if content, err = f(content); err != nil {
			return nil, err
		}
	}
}

// readHeader returns the header at the start of b and what follows it; a definite length is sure to be there.
func readHeader(b []byte) (h header, rest []byte, err error) {
	n := 1
	if len(b) > 0 && b[0]&0x1f == 0x1f { // high tag number: octets with the top bit set, then one without
		for n < len(b) && b[n]&0x80 != 0 {
			n++
		}
		n++
	}
	if len(b) <= n {
		return h, nil, errTruncated
	}
	h.tag, b = b[:n], b[n:]
	first := b[0]
	b = b[1:]
	switch {
	case first == 0x80:
		if !h.constructed() {
			return h, nil, errLength
		}
		h.indefinite = true
		return h, b, nil
	case first < 0x80:
		h.length = int(first)
	default:
		octets := int(first &^ 0x80)
		if octets > len(b) {
			return h, nil, errTruncated
		}
		for _, c := range b[:octets] {
			if h.length > MaxInput {
				return h, nil, errLength
			}
			h.length = h.length<<8 | int(c)
		}
		b = b[octets:]
	}
	if h.length > len(b) {
		return h, nil, errTruncated
	}
	return h, b, nil
}

// insertHeader puts a header before dst[start:].
func insertHeader(dst []byte, start int, tag []byte) []byte {
	content := len(dst) - start
	head := appendLength(append(make([]byte, 0, 16), tag...), content)
	dst = append(dst, head...)
	copy(dst[start+len(head):], dst[start:start+content])
	copy(dst[start:], head)
	return dst
}

func appendLength(dst []byte, n int) []byte {
	switch {
	case n < 1<<7:
		return append(dst, byte(n))
	case n < 1<<8:
		return append(dst, 0x81, byte(n))
	case n < 1<<16:
		return append(dst, 0x82, byte(n>>8), byte(n))
	default: // MaxInput is under 2^24
		return append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
}
