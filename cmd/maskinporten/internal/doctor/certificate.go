package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/inspect"
	"github.com/maskinporten-go/maskinporten/internal/keystore"
)

// A certificate takes weeks to renew, a key on the client minutes.
const (
	warnDays    = 60
	warnKeyDays = 30
	dayHours    = 24
)

type certificateDetails struct {
	Subject   string    `json:"subject"`
	OrgNumber string    `json:"orgnr"`
	Issuer    string    `json:"issuer"`
	KeyUsage  string    `json:"key_usage"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Days      int       `json:"days_left"`
	KeyID     string    `json:"kid,omitempty"`
	Chain     []string  `json:"chain"`
}

// certificate judges the key and its chain by Maskinporten's time.
func (x *examination) certificate(context.Context) Step {
	step := Step{ID: "certificate", Status: OK}
	now := x.now()
	key, err := x.opened.content.Key(os.Getenv("MASKINPORTEN_KEY_ID"), now)
	if err == nil {
		err = key.Complete()
	}
	x.opened.key = key
	if err != nil {
		step.Status, step.exit, step.Summary = Failed, exitLocal, clean(err)
		step.Remedy = certificateRemedy(err)
		return step
	}
	if len(key.Chain) == 0 {
		return registered(step, key, now)
	}
	leaf := key.Chain[0]
	days := int(leaf.NotAfter.Sub(now).Hours() / dayHours)
	step.Details = certificateDetails{
		Subject: inspect.Name(leaf.Subject), OrgNumber: inspect.OrgNumber(leaf), Issuer: inspect.Name(leaf.Issuer), KeyUsage: keystore.KeyUsage(leaf),
		NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC(), Days: days, KeyID: key.ID, Chain: subjects(key.Chain),
	}
	step.Summary = fmt.Sprintf("%s, organisation %s, by %s, until %s (%s left)",
		name(leaf.Subject.CommonName), orElse(inspect.OrgNumber(leaf), "unknown"), name(leaf.Issuer.CommonName), leaf.NotAfter.UTC().Format(time.DateOnly), count(days, "day"))
	if key.ID != "" {
		step.Summary += fmt.Sprintf(", registered as %q", key.ID)
	}
	for _, c := range key.Chain[1:] {
		if now.After(c.NotAfter) {
			step.Status = Warning
			step.Summary += fmt.Sprintf("; the certificate of the issuer %s expired on %s", name(c.Subject.CommonName), c.NotAfter.UTC().Format(time.DateOnly))
			step.Remedy = "Export the file anew with the issuer's certificates of today."
		}
	}
	if days < warnDays && step.Status == OK {
		step.Status = Warning
		step.Remedy = fmt.Sprintf("Order a new certificate from %s: it takes days to weeks.", name(leaf.Issuer.CommonName))
	}
	return step
}

// registered is for a key without a certificate. When it dies is known only if
// the JWK says so.
func registered(step Step, key *keystore.Key, now time.Time) Step {
	step.Summary = fmt.Sprintf("a key without a certificate, registered as %q", key.ID)
	details := certificateDetails{KeyID: key.ID, Chain: []string{}, NotAfter: key.Expires}
	if !key.Expires.IsZero() {
		details.Days = int(key.Expires.Sub(now).Hours() / dayHours)
		step.Summary += fmt.Sprintf(", until %s (%s left)", key.Expires.UTC().Format(time.DateOnly), count(details.Days, "day"))
		if details.Days < warnKeyDays {
			step.Status, step.Remedy = Warning, "Register a new key on the client: `maskinporten keys new`."
		}
	}
	step.Details = details
	if len(key.Notes) > 0 {
		step.Summary += "; " + strings.Join(key.Notes, "; ")
	}
	return step
}

func certificateRemedy(err error) string {
	switch {
	case errors.Is(err, keystore.ErrUnusableKey) && !strings.Contains(err.Error(), "Key Usage"):
		return "Order a certificate with an RSA key of 2048 bits at least: Maskinporten takes no other."
	case errors.Is(err, keystore.ErrUnusableKey):
		return "Use another of the files that the issuer sent: the one whose Key Usage has Digital Signature. `maskinporten inspect FILE…` on all of them says which."
	case errors.Is(err, keystore.ErrMissingIntermediate):
		return "Export the file anew with the whole chain, or put the issuer's certificate into it."
	case errors.Is(err, keystore.ErrCertificateExpired):
		return "Order a new certificate; the key that signs has to be the new one's."
	case errors.Is(err, keystore.ErrCertificateNotYetValid):
		return "Wait until then, or use the certificate of before."
	case errors.Is(err, keystore.ErrKeyMismatch), errors.Is(err, keystore.ErrNoCertificate):
		return "Find the key and the certificate that belong together: export both in one file."
	case errors.Is(err, keystore.ErrAmbiguousKey):
		return "Export one of the keys to a file of its own."
	case errors.Is(err, keystore.ErrNoKey):
		return "Export the file anew, the private key included."
	}
	return "See `maskinporten inspect` for what is in the file."
}

type environmentDetails struct {
	Environment string `json:"environment"`
	Certificate string `json:"certificate"` // prod, test or unknown
}

// environment compares for which Maskinporten the certificate was issued with
// the one that is configured.
func (x *examination) environment(context.Context) Step {
	step := Step{ID: "environment", Status: OK}
	env := environmentName(x.configured.environment)
	issuedFor := environmentOf(x.opened.content.Certificates)
	step.Details = environmentDetails{env, issuedFor}
	switch {
	case env == "":
		return skippedFor("environment", "config")
	case len(x.opened.content.Certificates) == 0:
		step.Status, step.Summary = Skipped, "a key without a certificate is of no environment"
	case env != "prod" && env != "test":
		step.Status, step.Summary = Skipped, fmt.Sprintf("which certificates %s takes is not known; this one is %s", env, issuedFor)
	case issuedFor == "unknown":
		step.Status, step.Summary = Skipped, "the issuer is not one that is known here"
	case issuedFor != env:
		step.Status, step.exit = Failed, exitLocal
		step.Summary = fmt.Sprintf("the certificate is one for %s, by %s, and %s is configured", issuedFor, name(x.opened.content.Certificates[0].Issuer.CommonName), env)
		step.Remedy = "Production certificates work only in prod, test certificates only in test: change the environment or the keystore, and the client id with it."
	default:
		step.Summary = fmt.Sprintf("a certificate for %s, in %s", issuedFor, env)
	}
	return step
}

func environmentOf(certs []*x509.Certificate) string {
	for _, c := range certs {
		if found := inspect.Environment(c); found != "" {
			return found
		}
	}
	return "unknown"
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
