package maskinportentest

import (
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
)

const grantType = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// readForm takes the assertion out of the request, which must have the shape
// of RFC 7523 §2.1. What is wrong is named in a fixed order: first whether it
// is a form, then what kind of grant it is, last what does not belong there.
func (f *Fake) readForm(g *Grant, r *http.Request) (assertion string, bad *refusal) {
	if r.Method != http.MethodPost {
		bad = invalidRequest("The token endpoint takes POST")
		bad.status = http.StatusMethodNotAllowed
		return "", bad
	}
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/x-www-form-urlencoded" {
		return "", invalidRequest("Content-Type must be application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return "", invalidRequest("The body could not be read")
	}
	form, err := url.ParseQuery(string(body))
	switch {
	case err != nil:
		return "", invalidRequest("The body is not a form")
	case !form.Has("grant_type") && r.URL.RawQuery == "":
		return "", invalidRequest("Missing parameter grant_type")
	case len(form["grant_type"]) > 1:
		return "", invalidRequest("Parameter grant_type is repeated")
	case form.Has("grant_type") && form.Get("grant_type") != grantType:
		bad = invalidRequest("The grant_type must be " + grantType)
		bad.code = "unsupported_grant_type"
		return "", bad
	case r.URL.RawQuery != "":
		return "", invalidRequest("Parameters belong in the body, not in the URL")
	case form.Get("assertion") == "":
		return "", invalidRequest("Missing parameter assertion")
	case len(form["assertion"]) > 1:
		return "", invalidRequest("Parameter assertion is repeated")
	case r.Header.Get("Authorization") != "":
		return "", invalidRequest("Client authentication is by the assertion alone, without an Authorization header")
	}
	for _, name := range []string{"Consumer_org", "Consumer-Org"} {
		if r.Header.Get(name) != "" {
			if bad := f.deviation(g, invalidRequest("consumer_org is a claim of the grant, not a header")); bad != nil {
				return "", bad
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if name == "grant_type" || name == "assertion" {
			continue
		}
		if bad := f.deviation(g, invalidRequest("Unknown parameter "+name+": what is asked for are claims of the assertion")); bad != nil {
			return "", bad
		}
	}
	return form.Get("assertion"), nil
}
