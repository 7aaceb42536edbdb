package maskinportentest

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
)

// refusal is an answer that is no token (RFC 6749 §5.2), as Maskinporten
// words it.
type refusal struct {
	status      int
	code        string
	mp          string // empty if Maskinporten gives none
	description string
	detail      string // what exactly is wrong: the end of the description
	traceID     string // given when it is answered
}

// codes are the refusals that Maskinporten documents
// (https://docs.digdir.no/docs/Maskinporten/maskinporten_feilmeldinger). Their
// texts hold what clients have matched on since before there were codes.
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
	"MP-130": {"invalid_grant", "Invalid assertion. JWT has expired"},
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
	r := &refusal{status: http.StatusBadRequest, code: c.code, mp: mp, description: c.text, detail: detail}
	if detail != "" {
		r.description += ". " + detail
	}
	return r
}

// invalidAssertion is for what Maskinporten refuses without a code of its own.
func invalidAssertion(detail string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_grant", description: "Invalid assertion. " + detail, detail: detail}
}

// unauthenticated is for a client that cannot be known by its key, where
// Maskinporten gives no code.
func unauthenticated(detail string) *refusal {
	return invalidAssertion("Client authentication failed. " + detail)
}

func invalidRequest(detail string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_request", description: detail, detail: detail}
}

// OmitCodes has refusals carry no code, as Maskinporten answered until the
// spring of 2024 and still answers at times: their texts stay, error_uri is
// left out. False ends it.
func (f *Fake) OmitCodes(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.codesOmitted = on
}

// reply is the refusal as it goes out.
func (f *Fake) replyRefusal(r *refusal) *reply {
	f.mu.Lock()
	if f.codesOmitted {
		r.mp = ""
	}
	f.mu.Unlock()
	out := jsonReply(r.status, r.body(f.env.Issuer))
	if r.status == http.StatusMethodNotAllowed {
		out.header.Set("Allow", http.MethodPost)
	}
	return out
}

// body is the refusal in JSON. A trace id that the description holds already
// is the refusal's.
func (r *refusal) body(issuer string) map[string]string {
	description := r.description
	if id := traceIDIn.FindStringSubmatch(description); id != nil {
		r.traceID = id[1]
	} else {
		r.traceID = randomID()
		description = strings.TrimSuffix(description, ".") + ". (trace_id: " + r.traceID + ")"
	}
	said := map[string]string{"error": r.code, "error_description": description}
	if r.mp != "" {
		said["error_uri"] = strings.TrimSuffix(issuer, "/") + "/errors/" + r.mp
	}
	return said
}

// traceIDIn finds the id in a description, in the form of today and in the
// older one.
var traceIDIn = regexp.MustCompile(`(?i)\((?:trace_id|correlation id):\s*([^)]*?)\s*\)`)

func randomID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}
