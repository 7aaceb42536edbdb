package maskinportentest

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
)

// refusal is an answer that is no token (RFC 6749 §5.2), as Maskinporten
// words it.
type refusal struct {
	status      int
	code        string
	mp          string // empty if Maskinporten gives none
	description string
}

// codes are the refusals that Maskinporten documents.
var codes = map[string]struct{ code, text string }{
	"MP-011": {"invalid_request", "Invalid request parameter"},
	"MP-012": {"invalid_grant", "Invalid assertion. Assertion has already been used"},
	"MP-100": {"invalid_grant", "Invalid assertion. Client authentication failed. Unknown client"},
	"MP-110": {"invalid_grant", "Invalid assertion. Invalid audience"},
	"MP-120": {"invalid_grant", "Invalid assertion. Client authentication failed. Invalid certificate"},
	"MP-121": {"invalid_grant", "Invalid assertion. Client authentication failed. Expired key"},
	"MP-122": {"invalid_grant", "Invalid assertion. Client authentication failed. Organisation number in certificate does not match the client"},
	"MP-123": {"invalid_grant", "Invalid assertion. Client authentication failed. Malformed x5c"},
	"MP-124": {"invalid_grant", "Invalid assertion. Client authentication failed. Invalid signature"},
	"MP-130": {"invalid_grant", "Invalid assertion. Assertion is expired"},
	"MP-200": {"invalid_scope", "The client does not have the scope"},
	"MP-201": {"invalid_scope", "The client's integration type may not use the scope"},
	"MP-250": {"forbidden", "Consumer has not been granted access to the scope"},
	"MP-251": {"forbidden", "Consumer has not delegated access to the scope to the supplier"},
	"MP-301": {"invalid_authorization_details", "Unknown authorization_details type"},
	"MP-302": {"invalid_authorization_details", "Unknown field in authorization_details"},
	"MP-303": {"invalid_authorization_details", "Invalid value in authorization_details"},
}

// refuse is the refusal with code mp. Detail says what exactly is wrong.
func refuse(mp, detail string) *refusal {
	c := codes[mp]
	r := &refusal{status: http.StatusBadRequest, code: c.code, mp: mp, description: c.text}
	if detail != "" {
		r.description += ". " + detail
	}
	return r
}

// invalidAssertion is for what Maskinporten refuses without a code of its own.
func invalidAssertion(detail string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_grant", description: "Invalid assertion. " + detail}
}

func invalidRequest(detail string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_request", description: detail}
}

// body is the refusal in JSON.
func (r *refusal) body(issuer string) map[string]string {
	said := map[string]string{
		"error":             r.code,
		"error_description": r.description + ". (trace_id: " + randomID() + ")",
	}
	if r.mp != "" {
		said["error_uri"] = strings.TrimSuffix(issuer, "/") + "/errors/" + r.mp
	}
	return said
}

func randomID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}
