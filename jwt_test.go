package maskinporten

import (
	"encoding/base64"
	"encoding/json"
)

type object = map[string]any

// unsignedToken is claims in a token whose signature nobody is to check.
func unsignedToken(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." + encode(json.RawMessage(claims)) + ".c2ln"
}
