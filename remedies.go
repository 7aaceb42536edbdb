package maskinporten

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// remedyByCode is what to do about a refusal, by Maskinporten's code, which is
// also the section of the troubleshooting page. What stands in braces is filled
// in from the request: see requestInfo.fill.
var remedyByCode = map[string]string{
	"MP-011": "The grant holds a bad parameter: look for stray line breaks or typing errors in the scope, the client id and the consumer's organisation number.",
	"MP-012": "The same grant was sent twice. Each is signed anew here, so look for a proxy that repeats requests.",
	"MP-100": "Client {client} is not known in {environment}: check the client id in Samarbeidsportalen, and that it was made for this environment.",
	"MP-110": "The grant's audience {issuer} is not this server's issuer: the issuer and the token endpoint must be of the same environment.",
	"MP-120": "The certificate is not one for {environment}: production certificates work only in prod, test certificates only in test.{incomplete}",
	"MP-121": "The key registered on the client has expired; keys live one year from registration. {key}Register a new key on the client in Samarbeidsportalen.",
	"MP-122": "The certificate belongs to {owner}, which does not own client {client}: use a certificate of the client's owner, or a client of the certificate's.",
	"MP-123": "The x5c header is malformed, which this library does not make: look for a proxy that changes requests, and report it.",
	"MP-124": "The signature was not accepted: the {unaccepted}",
	"MP-130": "{clock}, or the grant was sent too late; ten seconds are tolerated: set the clock by NTP.",
	"MP-200": "The scope {scope} is not registered on client {client}: add it in Samarbeidsportalen, and check its spelling.",
	"MP-201": "The integration type of client {client} may not use the scope {scope}: make a new client of the right type in Samarbeidsportalen.",
	"MP-250": "{organisation} has not been granted the scope {scope}: ask the API's owner for access.",
	"MP-251": "{organisation} has not delegated the scope {scope} to the supplier: the customer does that in Altinn (delegering av API), {altinn}.",
	"MP-301": "The type in authorization_details is unknown to this environment: check that it offers systembruker or consent.",
	"MP-302": "A field of authorization_details is unknown: check Request.SystemUser and Request.Consent against Digdir's page.",
	"MP-303": "A value in authorization_details is not valid: check that the systembruker or the consent exists in Altinn for this organisation and client, in the right environment.",
}

// remedy is what to do about a refusal without such a code, and the section of
// the troubleshooting page that says more.
type remedy struct {
	anchor  string
	applies func(e *Error) bool
	text    string
}

// remedies are tried in order; the last applies to every error.
var remedies = []remedy{
	{"clock", (*Error).aboutTime, remedyByCode["MP-130"]},
	{"mp-121", says("Expired key"), remedyByCode["MP-121"]},
	{"mp-250", says("has not been granted access to the scope"), remedyByCode["MP-250"]},
	{"mp-251", says("has not delegated access to the scope"), remedyByCode["MP-251"]},
	{"unknown-key", says("Unknown key identifier"), "{signer} is not registered on client {client} in {environment}: compare them in Samarbeidsportalen. A key that was registered just now needs some minutes to arrive; then this passes by itself."},
	{"registered-keys", says("requires pre-registered jwk"), "Client {client} has keys registered, so a certificate alone does not do: sign with a registered key and its key id (LoadJWK, or WithKeyID for a certificate's key), or use a client without keys."},
	{"own-organisation", says("combination consumer_org in claim and delegation scope"), "{organisation} is the client's own organisation: leave ConsumerOrg empty to act for it."},
	{"resource", func(e *Error) bool { return strings.EqualFold(e.Code, "invalid_target") && !e.Temporary() }, "The scope {scope} does not allow the resource that was asked for: check Request.Resource against what the API's owner states, or leave it empty."},
	{"too-many-requests", status(http.StatusTooManyRequests), "Too many requests: the library waits as long as the server asks. If this goes on, see that one Client is made and shared."},
	{"redirect", func(e *Error) bool { return e.StatusCode/100 == 3 }, "Check the token endpoint's URL, {token URL}, and whether a proxy asks for a login."},
	{"another-answer", func(e *Error) bool { return e.Temporary() && e.StatusCode < 500 }, "This is not how Maskinporten answers: a proxy or a firewall may have answered in its place. Check HTTPS_PROXY and the token endpoint's URL, {token URL}."},
	{"unavailable", (*Error).Temporary, "Maskinporten, or something in front of it, is out of order: the library tries again by itself. If it lasts, see status.digdir.no."},
	{"other-refusals", oauthCode("invalid_altinn_customer_configuration"), "The systembruker is not set up: check that the organisation has one in Altinn for this client and external reference, in the right environment."},
	{"other-refusals", oauthCode("invalid_scope"), "Check that the scope {scope} is spelt right and registered on client {client}."},
	{"other-refusals", func(*Error) bool { return true }, "Check the client's registration in Samarbeidsportalen."},
}

func says(text string) func(*Error) bool { return func(e *Error) bool { return e.says(text) } }

func oauthCode(code string) func(*Error) bool { return func(e *Error) bool { return e.Code == code } }

func status(status int) func(*Error) bool {
	return func(e *Error) bool { return e.StatusCode == status }
}

func (e *Error) remedy() remedy {
	if text, ok := remedyByCode[e.MPCode]; ok {
		return remedy{anchor: strings.ToLower(e.MPCode), text: text}
	}
	for _, r := range remedies {
		if r.applies(e) {
			return r
		}
	}
	panic("unreachable: the last remedy applies to every error")
}

// Remedy returns what to do about e, in one or two sentences for the person on
// call. It is never empty.
func (e *Error) Remedy() string {
	return e.request.fill(e.remedy().text)
}

// page is the section of the troubleshooting page that tells more.
func (e *Error) page() string {
	return endpoint.Troubleshooting + e.remedy().anchor
}

// fill puts what is known of the request into the text of a remedy.
func (i requestInfo) fill(text string) string {
	owner, organisation := "another organisation", "The client's organisation"
	if i.owner != "" {
		owner, organisation = i.owner, "Organisation "+i.owner
	}
	if i.consumer != "" {
		organisation = "Organisation " + i.consumer
	}
	key, signer := "", "The key"
	if i.kid != "" {
		signer = fmt.Sprintf("The key id %q", i.kid)
		key = fmt.Sprintf("This one has the key id %q. ", i.kid)
	}
	incomplete := ""
	if i.chain == 1 {
		incomplete = " Or its chain is not complete: only the certificate itself was sent, so the file lacks its issuer's."
	}
	unaccepted := fmt.Sprintf("certificate may have expired or been revoked, or not be one for %s.", i.environment)
	if i.kid != "" {
		unaccepted = fmt.Sprintf("key id %q is not registered on client %s in %s, or with another key. Compare it in Samarbeidsportalen.", i.kid, i.clientID, i.environment)
	}
	altinn := "for test at tt02.altinn.no"
	if i.issuer == Prod.Issuer {
		altinn = "at altinn.no"
	}
	return strings.NewReplacer(
		"{client}", i.clientID,
		"{environment}", i.environment,
		"{issuer}", i.issuer,
		"{token URL}", i.tokenURL,
		"{scope}", strconv.Quote(i.scope),
		"{signer}", signer,
		"{key}", key,
		"{incomplete}", incomplete,
		"{unaccepted}", unaccepted,
		"{owner}", owner,
		"{organisation}", organisation,
		"{altinn}", altinn,
		"{clock}", i.clock(),
	).Replace(text)
}

// clock says how far off this machine's clock is, where that is known.
func (i requestInfo) clock() string {
	skew := int(i.skew.Round(time.Second).Seconds())
	switch {
	case skew > 0:
		return fmt.Sprintf("This machine's clock is %d seconds behind Maskinporten's", skew)
	case skew < 0:
		return fmt.Sprintf("This machine's clock is %d seconds ahead of Maskinporten's", -skew)
	}
	return "This machine's clock may be off"
}
