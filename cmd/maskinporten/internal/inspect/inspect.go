// Package inspect says what is in a file that has to do with Maskinporten, and
// what it is good for: keystores, certificates, keys, tokens and assertions. It
// goes by what is in the file and not by its name, and says nothing secret.
package inspect

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/p12"
)

// File is what was found in one file.
type File struct {
	File         string        `json:"file"`
	Kind         Kind          `json:"kind"`
	MAC          string        `json:"mac,omitempty"`
	Encryption   []string      `json:"encryption,omitempty"`
	Keys         []Key         `json:"keys,omitempty"`
	Certificates []Certificate `json:"certificates,omitempty"`
	Claims       []Claim       `json:"claims,omitempty"`
	Verified     *bool         `json:"verified,omitempty"` // of a token with --verify
	Verdict      Verdict       `json:"verdict"`

	// Token is the access token, for it to be verified.
	Token string `json:"-"`
}

// Kind is what kind of file it is.
type Kind string

// The kinds.
const (
	PKCS12      Kind = "pkcs12"
	PEM         Kind = "pem"
	DER         Kind = "certificate"
	PKCS7       Kind = "pkcs7"
	JWK         Kind = "jwk"
	JWKSet      Kind = "jwks"
	AccessToken Kind = "access-token"
	Assertion   Kind = "assertion"
	Unknown     Kind = "unknown"
)

// Names are the kinds in words.
var Names = map[Kind]string{
	PKCS12: "PKCS#12 keystore", PEM: "PEM", DER: "certificate", PKCS7: "PKCS#7 certificate chain", JWK: "JWK", JWKSet: "JWK set",
	AccessToken: "access token", Assertion: "assertion (a signed grant)", Unknown: "not recognised",
}

// Verdict is what the file is good for.
type Verdict struct {
	OK   bool   `json:"ok"`
	Text string `json:"text"`

	// Opened is false for a file that could not be read to its end.
	Opened bool `json:"opened"`
}

// Look says what is in data. The passwords are tried one after the other, and
// none is tried first.
func Look(name string, data []byte, passwords []string, now time.Time) File {
	f := File{File: name}
	text := bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	switch {
	case len(text) == 0:
		f.Kind, f.Verdict = Unknown, Verdict{Text: "the file is empty"}
	case text[0] == '{':
		f.json(text, now)
	case bytes.Contains(text, []byte("-----BEGIN ")):
		f.pem(data, passwords, now)
	case isJWT(text):
		f.jwt(bareToken(text), now)
	default:
		if decoded, ok := fromBase64(text); ok {
			data = decoded
		}
		if len(data) > 0 && data[0] == '{' { // NAIS has a JWK as base64, too
			f.json(data, now)
			return f
		}
		f.der(data, passwords, now)
	}
	return f
}

// json reads what is JSON: a JWK, a set of them, or an answer with a token.
func (f *File) json(text []byte, now time.Time) {
	var object struct {
		Keys        []json.RawMessage `json:"keys"`
		Kty         string            `json:"kty"`
		AccessToken string            `json:"access_token"`
	}
	if err := json.Unmarshal(text, &object); err != nil {
		f.Kind, f.Verdict = Unknown, Verdict{Text: "it begins like JSON, and is not"}
		return
	}
	switch {
	case object.Keys != nil:
		f.jwkSet(object.Keys, now)
	case object.Kty != "":
		f.jwk(text, now)
	case isJWT([]byte(object.AccessToken)):
		f.jwt(object.AccessToken, now)
	default:
		f.Kind, f.Verdict = Unknown, Verdict{Text: "JSON, but neither a JWK nor a set of them nor an answer with a token"}
	}
}

// pem reads PEM, in which other kinds may be wrapped.
func (f *File) pem(data []byte, passwords []string, now time.Time) {
	if block, _ := pem.Decode(data); block != nil {
		switch {
		case strings.HasPrefix(block.Type, "PKCS7"), block.Type == "CMS":
			f.pkcs7(block.Bytes, now)
			return
		case strings.HasPrefix(block.Type, "PKCS12"), strings.HasPrefix(block.Type, "PKCS #12"), block.Type == "PFX":
			f.pkcs12(data, passwords, now)
			return
		}
	}
	f.pemBlocks(data, now)
}

// der tries what DER can be. What is no keystore either is not recognised.
func (f *File) der(data []byte, passwords []string, now time.Time) {
	if f.certificate(data, now) || f.pkcs7(data, now) {
		return
	}
	f.pkcs12(data, passwords, now)
}

// fromBase64 takes base64 off DER and JSON; what it is no base64 of is left.
func fromBase64(text []byte) ([]byte, bool) {
	text = bytes.Join(bytes.Fields(text), nil)
	decoded, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || len(decoded) == 0 || decoded[0] != 0x30 && decoded[0] != '{' {
		return nil, false
	}
	return decoded, true
}

// protection fills in how a PKCS#12 file is protected, if it is one.
func (f *File) protection(data []byte) {
	if p, err := p12.Inspect(data); err == nil || p != nil {
		f.MAC, f.Encryption = p.MAC, p.Encryption
	}
}
