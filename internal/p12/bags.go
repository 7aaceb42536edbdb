package p12

import (
	"encoding/asn1"
	"errors"
	"unicode/utf16"
)

var (
	oidKeyBag          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidShroudedKeyBag  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidCertBag         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 3}
	oidSafeContentsBag = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 6}
	oidX509Certificate = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 22, 1}
	oidFriendlyName    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 20}
)

// safeBag is SafeBag (RFC 7292, section 4.2). Its attributes stay raw: tools put in what no reader expects.
type safeBag struct {
	ID         asn1.ObjectIdentifier
	Value      asn1.RawValue `asn1:"tag:0,explicit"`
	Attributes asn1.RawValue `asn1:"optional"`
}

// keyBag is a private key as the file has it, shrouded (encrypted) or not.
type keyBag struct {
	name       string
	encryption string // of its safe
	shrouded   bool
	der        []byte
}

// collect takes the keys and certificates out of a safe in BER, whose encryption was as stated. CRLs, secret keys and unknown
// bags are left.
func (o *opener) collect(safe []byte, encryption string) error {
	der, _, err := toDER(safe)
	if err != nil {
		return malformed("reading a safe: %w", err)
	}
	return o.collectDER(der, encryption)
}

func (o *opener) collectDER(safe []byte, encryption string) error {
	return eachInDER(safe, func(der []byte) error {
		if o.bags++; o.bags > maxBags {
			return &UnsupportedError{What: "a file with more than 10,000 entries"}
		}
		var bag safeBag
		if err := unmarshal(der, &bag); err != nil {
			return err
		}
		shrouded := bag.ID.Equal(oidShroudedKeyBag)
		switch {
		case shrouded, bag.ID.Equal(oidKeyBag):
			if len(bag.Value.Bytes) > MaxKey {
				return &UnsupportedError{What: "a private key over 6 KiB"}
			}
			o.keys = append(o.keys, keyBag{friendlyName(bag.Attributes), encryption, shrouded, bag.Value.Bytes})
		case bag.ID.Equal(oidCertBag):
			var cert struct {
				ID   asn1.ObjectIdentifier
				Data asn1.RawValue `asn1:"tag:0,explicit"`
			}
			if err := unmarshal(bag.Value.Bytes, &cert); err != nil {
				return err
			}
			if !cert.ID.Equal(oidX509Certificate) {
				return nil
			}
			var der []byte
			if err := unmarshal(cert.Data.Bytes, &der); err != nil {
				return err
			}
			o.certs = append(o.certs, Cert{friendlyName(bag.Attributes), encryption, der})
		case bag.ID.Equal(oidSafeContentsBag):
			return o.collectDER(bag.Value.Bytes, encryption) // as deep as toDER went at most
		}
		return nil
	})
}

var errEnough = errors.New("enough attributes")

// friendlyName finds the name among a bag's attributes, or nothing: a name is no reason to refuse a file.
func friendlyName(attributes asn1.RawValue) (name string) {
	if len(attributes.FullBytes) == 0 {
		return ""
	}
	seen := 0
	_ = eachInDER(attributes.FullBytes, func(der []byte) error {
		if seen++; seen > maxAttributes {
			return errEnough
		}
		var attr struct {
			ID     asn1.ObjectIdentifier
			Values asn1.RawValue
		}
		if unmarshal(der, &attr) != nil || !attr.ID.Equal(oidFriendlyName) {
			return nil
		}
		var value asn1.RawValue
		if _, err := asn1.Unmarshal(attr.Values.Bytes, &value); err != nil || value.Tag != asn1.TagBMPString {
			return nil
		}
		name = bmpText(value.Bytes)
		return errEnough
	})
	return name
}

func bmpText(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	return string(utf16.Decode(units))
}
