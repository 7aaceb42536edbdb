package doctor

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// maxCRL bounds a revocation list: those of large issuers have some megabytes.
const maxCRL = 32 << 20

type revocationDetails struct {
	Checks []revocationCheck `json:"checks"`
}

type revocationCheck struct {
	Kind   string `json:"kind"` // crl or ocsp
	URL    string `json:"url"`
	Result string `json:"result"` // good, revoked, or why it is not known
}

// revocation asks the certificate's issuer, first for its list of revoked
// certificates, which is what Maskinporten looks at, and then by OCSP.
func (x *examination) revocation(ctx context.Context) Step {
	step := Step{ID: "revocation", Status: OK}
	details := &revocationDetails{Checks: []revocationCheck{}}
	step.Details = details
	chain := x.opened.key.Chain
	if len(chain) < 2 {
		step.Status, step.Summary = Skipped, "there is no certificate with its issuer's beside it"
		return step
	}
	leaf, issuer := chain[0], chain[1]
	var unknown, closed []string
	for _, check := range checksOf(leaf) {
		revoked, err := check.run(ctx, leaf, issuer, x)
		result := revocationCheck{check.kind, check.url, "good"}
		switch {
		case err != nil:
			result.Result = redact.Clean(err.Error(), 200)
			unknown = append(unknown, fmt.Sprintf("%s %s: %s", strings.ToUpper(check.kind), check.url, result.Result))
			var op *net.OpError
			if errors.As(err, &op) || errors.As(err, new(*net.DNSError)) {
				closed = append(closed, hostAndPort(check.url))
			}
		case !revoked.IsZero():
			result.Result = "revoked on " + revoked.UTC().Format(time.DateOnly)
			details.Checks = append(details.Checks, result)
			step.Status, step.exit = Failed, exitLocal
			step.Summary = fmt.Sprintf("the certificate was %s, says %s", result.Result, check.url)
			step.Remedy = fmt.Sprintf("Find out from %s why, order a new certificate, and take this one out of use.", name(leaf.Issuer.CommonName))
			return step
		}
		details.Checks = append(details.Checks, result)
		if err == nil {
			step.Summary = fmt.Sprintf("not revoked, says %s", check.url)
			break
		}
	}
	switch {
	case len(details.Checks) == 0:
		step.Status, step.Summary = Skipped, "the certificate names nobody to ask"
	case len(unknown) > 0:
		step.Status = Warning
		if step.Summary != "" {
			step.Summary += ", but "
		}
		step.Summary += strings.Join(unknown, "; ")
		step.Remedy = "Maskinporten looks at the list itself, so this does not keep tokens from coming. Try again."
		if len(closed) > 0 {
			step.Remedy = "Maskinporten looks at the list itself, so this does not keep tokens from coming. To have it checked from here, open outbound " + strings.Join(closed, " and ") + "."
		}
	}
	return step
}

// check is one way to ask.
type check struct {
	kind, url string
	ask       func(ctx context.Context, c *http.Client, url string, leaf, issuer *x509.Certificate, now time.Time) (revoked time.Time, err error)
}

// checksOf are the addresses in the certificate that speak HTTP. Some have LDAP
// beside it.
func checksOf(leaf *x509.Certificate) (checks []check) {
	for _, url := range leaf.CRLDistributionPoints {
		if strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://") {
			checks = append(checks, check{"crl", url, askCRL})
		}
	}
	for _, url := range leaf.OCSPServer {
		if strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://") {
			checks = append(checks, check{"ocsp", url, askOCSP})
		}
	}
	return checks[:min(len(checks), 8)]
}

func (c check) run(ctx context.Context, leaf, issuer *x509.Certificate, x *examination) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, x.Timeout)
	defer cancel()
	transport := newTransport(x.Timeout)
	defer transport.CloseIdleConnections()
	return c.ask(ctx, &http.Client{Transport: transport}, c.url, leaf, issuer, x.now())
}

// askCRL reads the list (RFC 5280, section 5). A list that is not the issuer's
// own, or has had its day, says nothing.
func askCRL(ctx context.Context, c *http.Client, url string, leaf, issuer *x509.Certificate, now time.Time) (revoked time.Time, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return revoked, err
	}
	body, err := fetch(c, request)
	if err != nil {
		return revoked, err
	}
	list, err := x509.ParseRevocationList(body)
	if err != nil {
		return revoked, errors.New("what came is no list of revoked certificates")
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		return revoked, errors.New("the list is not signed by the certificate's issuer")
	}
	if !list.NextUpdate.IsZero() && now.After(list.NextUpdate) {
		return revoked, fmt.Errorf("the list is old: a new one was due on %s", list.NextUpdate.UTC().Format(time.DateTime))
	}
	for _, entry := range list.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(leaf.SerialNumber) == 0 && entry.ReasonCode != removeFromCRL {
			return entry.RevocationTime, nil
		}
	}
	return revoked, nil
}

const removeFromCRL = 8 // RFC 5280, section 5.3.1: no longer on hold

// askOCSP asks for this certificate alone (RFC 6960).
func askOCSP(ctx context.Context, c *http.Client, url string, leaf, issuer *x509.Certificate, now time.Time) (revoked time.Time, err error) {
	question, err := ocsp.CreateRequest(leaf, issuer, nil)
	if err != nil {
		return revoked, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(question))
	if err != nil {
		return revoked, err
	}
	request.Header.Set("Content-Type", "application/ocsp-request")
	body, err := fetch(c, request)
	if err != nil {
		return revoked, err
	}
	answer, err := ocsp.ParseResponseForCert(body, leaf, issuer)
	switch {
	case err != nil:
		return revoked, fmt.Errorf("what came is no answer to it: %w", err)
	case !answer.NextUpdate.IsZero() && now.After(answer.NextUpdate):
		return revoked, fmt.Errorf("the answer is old: it was good until %s", answer.NextUpdate.UTC().Format(time.DateTime))
	case answer.Status == ocsp.Revoked:
		return answer.RevokedAt, nil
	case answer.Status != ocsp.Good:
		return revoked, errors.New("it does not know the certificate")
	}
	return revoked, nil
}

func fetch(c *http.Client, request *http.Request) ([]byte, error) {
	answer, err := c.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the rest of its text repeats the URL
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered HTTP %d", answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxCRL+1))
	if len(body) > maxCRL {
		return nil, fmt.Errorf("the answer has over %d bytes", maxCRL)
	}
	return body, err
}

func hostAndPort(raw string) string {
	t, err := newTarget(raw)
	if err != nil || t == nil {
		return raw
	}
	return "port " + t.port + " to " + t.host
}
