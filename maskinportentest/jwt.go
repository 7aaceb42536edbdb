package maskinportentest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of RS256, RS384 and RS512
	_ "crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// jws is a signed JWT, taken apart but not verified.
type jws struct {
	header, claims map[string]any // numbers are json.Number
	signed         []byte         // what the signature is over
	signature      []byte
}

var algorithms = map[string]crypto.Hash{"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512}

const base64url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func parseJWS(compact string) (*jws, error) {
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, errors.New("a JWT has three parts")
	}
	var raw [3][]byte
	for i, part := range parts {
		var err error
		raw[i], err = base64.RawURLEncoding.Strict().DecodeString(part)
		// A signature that lost its end may have an odd length: it is a wrong
		// signature, not another kind of text.
		if strings.Trim(part, base64url) != "" || err != nil && i < 2 {
			return nil, errors.New("the JWT is not base64url without padding")
		} else if err != nil {
			raw[i] = nil
		}
	}
	j := &jws{signed: []byte(parts[0] + "." + parts[1]), signature: raw[2]}
	var err error
	if j.header, err = strictObject(raw[0]); err != nil {
		return nil, fmt.Errorf("the JWT's header %w", err)
	}
	if j.claims, err = strictObject(raw[1]); err != nil {
		return nil, fmt.Errorf("the JWT's claims: the JSON %w", err)
	}
	return j, nil
}

// verify checks the signature with a key, by the algorithm that the header
// names if it is one of the three.
func (j *jws) verify(key *rsa.PublicKey) error {
	alg, _ := j.header["alg"].(string)
	hash, ok := algorithms[alg]
	if !ok {
		return fmt.Errorf("algorithm %q is not RS256, RS384 or RS512", alg)
	}
	digest := hash.New()
	digest.Write(j.signed)
	return rsa.VerifyPKCS1v15(key, hash, digest.Sum(nil), j.signature)
}

// sign makes a JWT, RS256.
func sign(key *rsa.PrivateKey, kid string, claims map[string]any) string {
	header := map[string]any{"alg": "RS256", "typ": "JWT", "kid": kid}
	encode := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("maskinportentest: claims that are not JSON: %v", err))
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := encode(header) + "." + encode(claims)
	digest := crypto.SHA256.New()
	digest.Write([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest.Sum(nil))
	if err != nil {
		panic(fmt.Sprintf("maskinportentest: signing: %v", err))
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// strictObject reads a JSON object, with nothing after it. A name that comes
// twice in one object is refused at any depth: two readers could see two
// different values.
func strictObject(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := strictValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("goes on after its end")
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("is not an object")
	}
	return object, nil
}

var errNotJSON = errors.New("is not valid")

func strictValue(d *json.Decoder, depth int) (any, error) {
	t, err := d.Token()
	if err != nil || depth > 32 {
		return nil, errNotJSON
	}
	switch t {
	case json.Delim('{'):
		object := make(map[string]any)
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, errNotJSON
			}
			key := name.(string)
			if _, twice := object[key]; twice {
				return nil, fmt.Errorf("states %q twice", key)
			}
			if object[key], err = strictValue(d, depth+1); err != nil {
				return nil, err
			}
		}
		return object, closing(d)
	case json.Delim('['):
		array := []any{}
		for d.More() {
			v, err := strictValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			array = append(array, v)
		}
		return array, closing(d)
	}
	return t, nil
}

func closing(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errNotJSON
	}
	return nil
}
