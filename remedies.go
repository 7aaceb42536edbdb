package maskinporten

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Remedy is what to do about e, in one or two sentences for the person on
// call. It is never empty.
func (e *Error) Remedy() string {
	a := e.about
	if a.platform != "" {
		return e.altinnRemedy()
	}
	switch e.MPCode {
	case "MP-011":
		return "The grant holds a bad parameter: look for stray line breaks or typing errors in the scope, the client id and the consumer's organisation number."
	case "MP-012":
		return "The same grant was sent twice. Each is signed anew here, so look for a proxy that repeats requests."
	case "MP-100":
		return fmt.Sprintf("Client %s is not known in %s: check the client id in Samarbeidsportalen, and that it was made for this environment.", a.clientID, a.env.name())
	case "MP-110":
		return fmt.Sprintf("The grant's audience %s is not this server's issuer: the issuer and the token endpoint must be of the same environment.", a.env.Issuer)
	case "MP-120":
		remedy := fmt.Sprintf("The certificate is not one for %s: production certificates work only in prod, test certificates only in test.", a.env.name())
		if a.chain == 1 {
			remedy += " Or its chain is not complete: only the certificate itself was sent, so the file lacks its issuer's."
		}
		return remedy
	case "MP-121":
		return "The key registered on the client has expired; keys live one year from registration. " + a.which() + "Register a new key, or the same one again, on the client in Samarbeidsportalen."
	case "MP-122":
		return a.ownerRemedy()
	case "MP-123":
		return "The x5c header is malformed, which this library does not make: look for a proxy that changes requests, and report it."
	case "MP-124":
		if a.kid != "" {
			return fmt.Sprintf("The signature was not accepted: the key id %q is not registered on client %s in %s, or with another key. Compare it in Samarbeidsportalen.", a.kid, a.clientID, a.env.name())
		}
		return fmt.Sprintf("The signature was not accepted: the certificate may have expired or been revoked, or not be one for %s.", a.env.name())
	case "MP-130":
		return a.clockRemedy()
	case "MP-200":
		return fmt.Sprintf("The scope %q is not registered on client %s: add it in Samarbeidsportalen, and check its spelling.", a.scope, a.clientID)
	case "MP-201":
		return fmt.Sprintf("The integration type of client %s may not use the scope %q: make a new client of the right type in Samarbeidsportalen.", a.clientID, a.scope)
	case "MP-250":
		return fmt.Sprintf("%s has not been granted the scope %q: ask the API's owner for access.", a.asking(), a.scope)
	case "MP-251":
		return fmt.Sprintf("%s has not delegated the scope %q to the supplier: the customer does that in Altinn (delegering av API), %s.", a.asking(), a.scope, a.altinnSite())
	case "MP-301":
		return "The type in authorization_details is unknown to this environment: check that it offers systembruker or consent."
	case "MP-302":
		return "A field of authorization_details is unknown: check Request.SystemUser and Request.Consent against Digdir's page."
	case "MP-303":
		return "A value in authorization_details is not valid: check that the systembruker or the consent exists in Altinn for this organisation and client, in the right environment."
	}
	switch {
	case e.aboutTime():
		return a.clockRemedy()
	case e.Code == "invalid_altinn_customer_configuration":
		return "The systembruker is not set up: check that the organisation has one in Altinn for this client and external reference, in the right environment."
	case e.Code == "invalid_scope":
		return fmt.Sprintf("Check that the scope %q is spelt right and registered on client %s.", a.scope, a.clientID)
	case e.StatusCode == http.StatusTooManyRequests:
		return "Too many requests: the library waits as long as the server asks. If this goes on, see that one Client is made and shared."
	case e.StatusCode/100 == 3:
		return fmt.Sprintf("Check the token endpoint's URL, %s, and whether a proxy asks for a login.", a.env.TokenURL)
	case e.Temporary() && e.StatusCode < 500:
		return fmt.Sprintf("This is not how Maskinporten answers: a proxy or a firewall may have answered in its place. Check HTTPS_PROXY and the token endpoint's URL, %s.", a.env.TokenURL)
	case e.Temporary():
		return "Maskinporten, or something in front of it, is out of order: the library tries again by itself. If it lasts, see status.digdir.no."
	}
	return "Check the client's registration in Samarbeidsportalen."
}

// which names the key that signed, where that is known.
func (a about) which() string {
	if a.kid == "" {
		return ""
	}
	return fmt.Sprintf("This one has the key id %q. ", a.kid)
}

func (a about) ownerRemedy() string {
	owner := "another organisation"
	if a.owner != "" {
		owner = a.owner
	}
	return fmt.Sprintf("The certificate belongs to %s, which does not own client %s: use a certificate of the client's owner, or a client of the certificate's.", owner, a.clientID)
}

func (a about) clockRemedy() string {
	seen := "This machine's clock may be off"
	if skew := a.skew.Round(time.Second); skew > 0 {
		seen = fmt.Sprintf("This machine's clock is %d seconds behind Maskinporten's", int(skew.Seconds()))
	} else if skew < 0 {
		seen = fmt.Sprintf("This machine's clock is %d seconds ahead of Maskinporten's", int(-skew.Seconds()))
	}
	return seen + ", or the grant was sent too late; ten seconds are tolerated: set the clock by NTP."
}

func (a about) asking() string {
	switch {
	case a.consumer != "":
		return "Organisation " + a.consumer
	case a.owner != "":
		return "Organisation " + a.owner
	}
	return "The client's organisation"
}

func (a about) altinnSite() string {
	if a.env.Issuer == Prod.Issuer {
		return "at altinn.no"
	}
	return "for test at tt02.altinn.no"
}

// documented is the codes that have a section of their own.
var documented = []string{
	"MP-011", "MP-012", "MP-100", "MP-110", "MP-120", "MP-121", "MP-122", "MP-123", "MP-124",
	"MP-130", "MP-200", "MP-201", "MP-250", "MP-251", "MP-301", "MP-302", "MP-303",
}

const troubleshooting = "https://github.com/maskinporten-go/maskinporten/blob/main/docs/troubleshooting.md#"

// page is the section of the troubleshooting page that tells more.
func (e *Error) page() string {
	switch {
	case e.about.platform != "":
		return troubleshooting + "altinn"
	case slices.Contains(documented, e.MPCode):
		return troubleshooting + strings.ToLower(e.MPCode)
	case e.aboutTime():
		return troubleshooting + "clock"
	case e.StatusCode == http.StatusTooManyRequests:
		return troubleshooting + "too-many-requests"
	case e.StatusCode/100 == 3:
		return troubleshooting + "redirect"
	case e.Temporary():
		return troubleshooting + "unavailable"
	}
	return troubleshooting + "other-refusals"
}
