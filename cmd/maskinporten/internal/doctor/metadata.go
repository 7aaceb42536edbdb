package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// described is what the metadata says (RFC 8414).
type described struct {
	Issuer        string `json:"issuer"`
	TokenEndpoint string `json:"token_endpoint"`
	JWKSURI       string `json:"jwks_uri"`
}

// metadata compares what the server says of itself with what is configured.
func (x *examination) metadata(ctx context.Context) Step {
	step := Step{ID: "metadata", Status: OK}
	url, env := x.configured.wellKnown, x.configured.environment
	d := &x.described
	step.Details = d
	if problem := x.document(ctx, url, d, func() bool { return d.Issuer != "" && d.TokenEndpoint != "" }); problem != nil {
		return problem.of(step)
	}
	discovered := x.Settings.WellKnown != ""
	// A URL does not say whether the issuer ends in a slash: the metadata does.
	if d.Issuer != env.Issuer && !(discovered && strings.TrimSuffix(d.Issuer, "/") == strings.TrimSuffix(env.Issuer, "/")) {
		step.Status, step.exit = Failed, exitUnreachable
		step.Summary = fmt.Sprintf("%s states the issuer %s, and %s is configured", url, name(d.Issuer), name(env.Issuer))
		step.Remedy = "Another Maskinporten answers at this address, or the issuer is not written exactly as the server has it, the slash at its end included: take issuer and token endpoint from the metadata of the right environment."
		return step
	}
	step.Summary = "states the issuer " + redact.Clean(d.Issuer, 200)
	if discovered {
		x.Settings.SetEnvironment(maskinporten.Environment{Issuer: d.Issuer, TokenURL: d.TokenEndpoint, JWKSURL: d.JWKSURI})
		return step
	}
	if d.TokenEndpoint != env.TokenURL {
		step.Status = Warning
		step.Summary += fmt.Sprintf(", and the token endpoint %s, where %s is configured", name(d.TokenEndpoint), name(env.TokenURL))
		step.Remedy = "Take the token endpoint from the metadata."
	}
	return step
}

// keySet is a JWK set (RFC 7517).
type keySet struct {
	Keys []struct {
		Kty string `json:"kty"`
		Kid string `json:"kid"`
		Use string `json:"use"`
	} `json:"keys"`
}

type jwksDetails struct {
	URL  string   `json:"url"`
	Kids []string `json:"kids"`
}

// jwks looks at the keys by which tokens are verified.
func (x *examination) jwks(ctx context.Context) Step {
	step := Step{ID: "jwks", Status: OK}
	url := x.configured.environment.JWKSURL
	if x.Settings.WellKnown != "" {
		url = x.described.JWKSURI
	}
	if url == "" {
		step.Status, step.Summary = Skipped, "no JWKS URL is configured, so tokens are not verified"
		return step
	}
	var set keySet
	details := &jwksDetails{URL: url, Kids: []string{}}
	step.Details = details
	if problem := x.document(ctx, url, &set, func() bool { return set.Keys != nil }); problem != nil {
		return problem.of(step)
	}
	for _, k := range set.Keys {
		if k.Kty == "RSA" && k.Use != "enc" {
			details.Kids = append(details.Kids, redact.Clean(k.Kid, 100))
		}
	}
	step.Summary = fmt.Sprintf("%d keys for signatures", len(details.Kids))
	if len(details.Kids) == 1 {
		step.Summary = "one key for signatures"
	}
	if len(details.Kids) == 0 {
		step.Status, step.exit = Failed, exitUnreachable
		step.Summary = "no RSA key for signatures among " + fmt.Sprint(len(set.Keys))
		step.Remedy = "No token can be verified with that: look whether " + url + " is the environment's key set."
	}
	return step
}

// problem is a document that did not come.
type problem struct{ summary, remedy string }

func (p *problem) of(step Step) Step {
	step.Status, step.exit, step.Summary, step.Remedy = Failed, exitUnreachable, p.summary, p.remedy
	return step
}

// document reads a public JSON document into v. If what comes is something
// else, its title and first line tell whose page it is.
func (x *examination) document(ctx context.Context, url string, v any, whole func() bool) *problem {
	ctx, cancel := context.WithTimeout(ctx, x.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return &problem{fmt.Sprintf("%s is not a URL", name(url)), "Take it from the metadata of the right environment."}
	}
	request.Header.Set("Accept", "application/json")
	transport := newTransport(x.Timeout)
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, Time: x.now}
	answer, err := transport.RoundTrip(request) // follows no redirect
	if err != nil {
		return unanswered(url, err, x.Timeout)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return unanswered(url, err, x.Timeout)
	}
	if answer.StatusCode == http.StatusOK && json.Unmarshal(body, v) == nil && whole() {
		return nil
	}
	said := fmt.Sprintf("%s answered HTTP %d", url, answer.StatusCode)
	if location := answer.Header.Get("Location"); location != "" {
		said += ", to go to " + name(location)
	} else if line := redact.FirstLine(body); line != "" {
		said += ": " + line
	}
	if answer.StatusCode >= 500 {
		return &problem{said, "Maskinporten, or something in front of it, is out of order: see status.digdir.no, and whose page this is."}
	}
	if answer.StatusCode == http.StatusNotFound {
		return &problem{said, "Check the URL: take it from the metadata of the right environment. If it is right, something else answers in Maskinporten's place, such as a proxy."}
	}
	return &problem{said, "This is not how Maskinporten answers: a captive portal, a proxy or a firewall has answered in its place. Log in to this network, or have " + request.URL.Hostname() + " exempted."}
}

func unanswered(url string, err error, timeout time.Duration) *problem {
	what := redact.Clean(err.Error(), 300)
	if connectResult(err) == silent || errors.Is(err, context.DeadlineExceeded) {
		what = fmt.Sprintf("no answer within %v", timeout)
	}
	return &problem{fmt.Sprintf("%s: %s", url, what), "The connection was made, but no answer came: Maskinporten may be slow, or a firewall may cut it. Try again; see status.digdir.no."}
}
