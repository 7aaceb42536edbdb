package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/asn1"
	"fmt"
	"os"
	"unicode/utf16"
)

// The structures of RFC 7292 that no tool combines as freely as it allows.
type (
	bag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue
		Attributes []asn1.RawValue `asn1:"set,optional,omitempty"`
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue
	}
)

var pkcs12Bags = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1}

// craft writes a store in one of the shapes below. Nothing in it is encrypted; the MAC is HMAC-SHA-1, 2048 iterations.
func craft(shape, password, out string) error {
	var safes [][]bag
	bmp := bmpString(password)
	plain := func(b []byte) []byte { return b }
	inner, outer := plain, plain
	switch shape {
	case "one-safe":
		safes = [][]bag{{key("key"), cert("leaf"), cert("ca"), cert("root")}}
	case "ca-first":
		safes = [][]bag{{cert("root"), cert("ca"), cert("leaf")}, {key("key")}}
	case "five-safes":
		safes = [][]bag{{cert("ca")}, {cert("root")}, {key("key")}, {cert("leaf")}, {}}
	case "three-files-in-one":
		safes = [][]bag{{named(key("key"), "auth"), named(key("other"), "sign"), named(key("third"), "enc")},
			{cert("thirdleaf"), cert("othersign"), cert("leaf"), cert("ca"), cert("root")}}
	case "two-usable-keys":
		safes = [][]bag{{named(key("key"), "første"), named(key("other"), "andre")}, {cert("otherleaf"), cert("leaf"), cert("ca"), cert("root")}}
	case "same-key-twice":
		safes = [][]bag{{key("key"), key("key")}, {cert("leaf"), cert("leaf"), cert("ca"), cert("root")}}
	case "renewed": // the old certificate for the same key is still there, first
		safes = [][]bag{{key("key")}, {cert("expired"), cert("leaf"), cert("ca"), cert("root")}}
	case "nested":
		safes = [][]bag{{nest(nest(cert("ca"), cert("root")), cert("leaf")), nest(key("key"))}}
	case "strays":
		safes = [][]bag{{
			cert("stray"), {ID: append(pkcs12Bags, 4), Value: explicit(crlBag())}, {ID: append(pkcs12Bags, 5), Value: explicit(secretBag())},
			{ID: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Value: explicit(marshal("what is this?"))},
			certBag(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 2}, marshal("an SDSI certificate")),
			certBag(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}, marshal([]byte{0x30, 0x03, 0x02, 0x01, 0x00})),
			cert("leaf"), cert("ca"), cert("root"), key("key"), key("ec"),
		}}
	case "odd-attributes":
		k, l := key("key"), cert("leaf")
		attributes := [][]byte{
			marshal(struct {
				ID     asn1.ObjectIdentifier
				Values []string `asn1:"set"`
			}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 20}, []string{"not a BMPString"}}),
			marshal(struct {
				ID     asn1.ObjectIdentifier
				Values []int `asn1:"set"`
			}{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 2}, nil}),
		}
		for _, a := range attributes {
			k.Attributes = append(k.Attributes, asn1.RawValue{FullBytes: a})
			l.Attributes = append(l.Attributes, asn1.RawValue{FullBytes: a})
		}
		safes = [][]bag{{k, l, cert("ca"), cert("root")}}
	case "ber":
		inner, outer = indefinite, indefinite
		safes = [][]bag{{cert("leaf"), cert("ca"), cert("root")}, {key("key")}}
	case "long-lengths":
		inner, outer = longLengths, longLengths
		safes = [][]bag{{cert("leaf"), cert("ca"), cert("root")}, {key("key")}}
	case "mismatch":
		safes = [][]bag{{cert("otherleaf"), cert("ca"), cert("root")}, {key("key")}}
	case "trailing":
		outer = func(b []byte) []byte { return append(b, "\x00\x00\x00\r\n"...) }
		safes = [][]bag{{cert("leaf"), cert("ca"), cert("root")}, {key("key")}}
	case "utf8-as-latin1": // OpenSSL 1.0
		bmp = bmpString(latin1(password))
		safes = [][]bag{{cert("leaf"), cert("ca"), cert("root")}, {key("key")}}
	case "empty-array": // an empty password without the terminator of RFC 7292, appendix B.1
		bmp = nil
		safes = [][]bag{{cert("leaf"), cert("ca"), cert("root")}, {key("key")}}
	default:
		return fmt.Errorf("no such shape: %s", shape)
	}

	var infos []contentInfo
	for _, s := range safes {
		infos = append(infos, data(inner(marshal(s))))
	}
	content := inner(marshal(infos))
	salt := []byte("saltsalt")
	type algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters asn1.RawValue
	}
	type digestInfo struct {
		Algorithm algorithm
		Digest    []byte
	}
	type macData struct {
		Mac        digestInfo
		Salt       []byte
		Iterations int
	}
	return os.WriteFile(out, outer(marshal(struct {
		Version int
		Content contentInfo
		MAC     macData
	}{3, data(content), macData{digestInfo{algorithm{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.NullRawValue}, mac(bmp, salt, 2048, content)}, salt, 2048}})), 0o644)
}

func cert(name string) bag {
	return certBag(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}, marshal(block(name)))
}

func certBag(id asn1.ObjectIdentifier, value []byte) bag {
	return bag{ID: append(pkcs12Bags, 3), Value: explicit(marshal(struct {
		ID   asn1.ObjectIdentifier
		Data asn1.RawValue
	}{id, explicit(value)}))}
}

func crlBag() []byte {
	return marshal(struct {
		ID   asn1.ObjectIdentifier
		Data asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 23, 1}, explicit(marshal(block("crl")))})
}

func secretBag() []byte {
	return marshal(struct {
		ID   asn1.ObjectIdentifier
		Data asn1.RawValue
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}, explicit(marshal([]byte("secret")))})
}

func key(name string) bag {
	return bag{ID: append(pkcs12Bags, 1), Value: explicit(block(name))}
}

func nest(bags ...bag) bag {
	return bag{ID: append(pkcs12Bags, 6), Value: explicit(marshal(bags))}
}

func named(b bag, name string) bag {
	bmp := bmpString(name)
	b.Attributes = append(b.Attributes, asn1.RawValue{FullBytes: marshal(struct {
		ID     asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 20}, []asn1.RawValue{{Tag: asn1.TagBMPString, Bytes: bmp[:len(bmp)-2]}}})})
	return b
}

func data(b []byte) contentInfo {
	return contentInfo{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}, explicit(marshal(b))}
}

func explicit(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: der}
}

func marshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func block(name string) []byte {
	blocks, err := load(name)
	if err != nil {
		panic(err)
	}
	return blocks[0]
}

// mac is RFC 7292, appendix B for SHA-1, where the key is as long as the hash and one round is enough.
func mac(bmp, salt []byte, iterations int, content []byte) []byte {
	in := bytes.Repeat([]byte{3}, 64)
	for _, s := range [][]byte{salt, bmp} {
		if len(s) > 0 {
			n := (len(s) + 63) / 64 * 64
			in = append(in, bytes.Repeat(s, n/len(s)+1)[:n]...)
		}
	}
	key := sha1.Sum(in)
	for range iterations - 1 {
		key = sha1.Sum(key[:])
	}
	h := hmac.New(sha1.New, key[:])
	h.Write(content)
	return h.Sum(nil)
}

func bmpString(s string) (b []byte) {
	for _, u := range append(utf16.Encode([]rune(s)), 0) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}

func latin1(s string) string {
	var runes []rune
	for i := range len(s) {
		runes = append(runes, rune(s[i]))
	}
	return string(runes)
}

// indefinite writes DER as BER with indefinite lengths and with octet strings in pieces of 100 bytes.
func indefinite(der []byte) (ber []byte) {
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			panic(err)
		}
		octets := v.Class == asn1.ClassUniversal && v.Tag == asn1.TagOctetString
		switch {
		case octets:
			ber = append(ber, 0x24, 0x80)
			for b := v.Bytes; ; b = b[100:] {
				n := min(100, len(b))
				ber = append(append(ber, 0x04, byte(n)), b[:n]...)
				if n < 100 {
					break
				}
			}
			ber = append(ber, 0, 0)
		case v.IsCompound:
			ber = append(ber, v.FullBytes[0], 0x80)
			ber = append(ber, indefinite(v.Bytes)...)
			ber = append(ber, 0, 0)
		default:
			ber = append(ber, v.FullBytes...)
		}
		der = rest
	}
	return ber
}

// longLengths writes DER as BER with every length in four bytes.
func longLengths(der []byte) (ber []byte) {
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			panic(err)
		}
		content := v.Bytes
		if v.IsCompound {
			content = longLengths(content)
		}
		n := len(content)
		ber = append(ber, v.FullBytes[0], 0x84, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		ber = append(ber, content...)
		der = rest
	}
	return ber
}
