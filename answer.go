package maskinporten

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// answer is a token as the endpoint stated it (RFC 6749 §5.1).
type answer struct {
	access   string
	scope    string
	lifetime time.Duration
}

// answerError is an answer with status 200 that holds no token.
type answerError struct{ reason string }

func (e *answerError) Error() string {
	return "the answer was HTTP 200 but " + e.reason + ": something on the way may have answered in its place"
}

func parseAnswer(body []byte) (answer, error) {
	fields, err := jsonObject(body)
	if err != nil {
		return answer{}, err
	}
	access, err := stringField(fields, "access_token")
	switch {
	case err != nil:
		return answer{}, err
	case access == "":
		return answer{}, errors.New("holds no access_token")
	case !visibleASCII(access):
		// It becomes a header: a line break in it would become two.
		return answer{}, errors.New("its access_token holds a space, a line break or a character outside ASCII")
	}
	tokenType, err := stringField(fields, "token_type")
	switch {
	case err != nil:
		return answer{}, err
	case !strings.EqualFold(tokenType, "Bearer"):
		return answer{}, fmt.Errorf("its token_type is %q, not Bearer", redact.Clean(tokenType, 40))
	}
	scope, err := stringField(fields, "scope")
	if err != nil {
		return answer{}, err
	}
	lifetime, err := lifetimeOf(fields["expires_in"], access)
	if err != nil {
		return answer{}, err
	}
	return answer{access: access, scope: redact.Cut(redact.OneLine(scope), 4096), lifetime: lifetime}, nil
}

// jsonObject reads the top level of body. A name that comes twice is refused:
// two readers of such an answer could see two different tokens.
func jsonObject(body []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	fields := make(map[string]json.RawMessage)
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, errors.New("is not valid JSON")
		}
		key := name.(string)
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("states %q twice", redact.Clean(key, 40))
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("is not valid JSON")
		}
		fields[key] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("is not valid JSON")
	}
	if len(bytes.TrimSpace(body[d.InputOffset():])) > 0 {
		return nil, errors.New("goes on after its JSON object")
	}
	return fields, nil
}

// stringField is a string, or empty when it is absent or null.
func stringField(fields map[string]json.RawMessage, name string) (string, error) {
	var s string
	if raw, ok := fields[name]; ok && json.Unmarshal(raw, &s) != nil {
		return "", fmt.Errorf("its %s is not a string", name)
	}
	return s, nil
}

// lifetimeOf reads expires_in, a number or (as some gateways make it) a number
// in a string; without it, the token's own exp and iat decide. A token without
// either is refused: it must not live for ever.
func lifetimeOf(raw json.RawMessage, access string) (time.Duration, error) {
	text := strings.Trim(string(raw), `"`)
	if text == "" || text == "null" {
		claims := peek(access)
		if claims == nil || claims.Expires <= 0 || claims.IssuedAt <= 0 {
			return 0, errors.New("states no expires_in, and its token no exp and iat")
		}
		return seconds(claims.Expires - claims.IssuedAt)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(n, 1) {
		return 0, fmt.Errorf("its expires_in is %q, not a number of seconds", redact.Clean(text, 40))
	}
	return seconds(n)
}

func seconds(n float64) (time.Duration, error) {
	if !(n > 0) {
		return 0, fmt.Errorf("its token lives %v seconds", n)
	}
	return time.Duration(min(n, 1e9) * float64(time.Second)), nil
}

// peeked is what the library itself looks at in a token, whose signature it
// has not verified: the endpoint's TLS vouches for it.
type peeked struct {
	Expires  float64 `json:"exp"`
	IssuedAt float64 `json:"iat"`
	Consumer struct {
		ID string `json:"ID"`
	} `json:"consumer"`
}

// peek is nil for a token that is no JWT.
func peek(access string) *peeked {
	parts := strings.Split(access, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	p := new(peeked)
	if json.Unmarshal(payload, p) != nil {
		return nil
	}
	return p
}

const errWrongConsumer = constError("the token is another consumer's")

// checkConsumer refuses a token that speaks for another organisation than the
// one asked for: it would give one customer's data to another.
func checkConsumer(access string, r *Request) error {
	if r.ConsumerOrg == "" {
		return nil
	}
	p := peek(access)
	if p == nil || p.Consumer.ID == "" || p.Consumer.ID == OrgNumber(r.ConsumerOrg).ISO6523() {
		return nil
	}
	return fmt.Errorf("%w: asked for %s, got %q; it was thrown away: report this to Digdir", errWrongConsumer, r.ConsumerOrg, redact.Clean(p.Consumer.ID, 40))
}
