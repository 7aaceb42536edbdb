package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/inspect"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

type chainDetails struct {
	Host    string   `json:"host"`
	Version string   `json:"version,omitempty"`
	Chain   []string `json:"chain"` // subjects, leaf first, and the last one's issuer
	Error   string   `json:"error,omitempty"`
}

type tlsDetails struct {
	Servers []chainDetails `json:"servers"`
}

// tls judges the certificates that the servers showed, by their own clock.
func (x *examination) tls(context.Context) Step {
	step := Step{ID: "tls", Status: OK}
	details := &tlsDetails{Servers: []chainDetails{}}
	step.Details = details
	var seen []string
	secure := false
	for _, p := range x.probes {
		t := p.target
		if !t.secure() {
			seen = append(seen, t.address()+" is called without TLS")
			if p.err != nil {
				return x.broken(step, p)
			}
			continue
		}
		secure = true
		server := chainDetails{Host: t.host, Chain: subjects(p.chain)}
		if p.tls == nil {
			server.Error = fmt.Sprint(p.err)
			details.Servers = append(details.Servers, server)
			return x.broken(step, p)
		}
		server.Version = tls.VersionName(p.tls.Version)
		if err := verify(p.chain, t.host, x); err != nil {
			server.Error = err.Error()
			details.Servers = append(details.Servers, server)
			return untrusted(step, p, err)
		}
		details.Servers = append(details.Servers, server)
		seen = append(seen, fmt.Sprintf("%s: %s, certificate by %s", t.host, server.Version, name(p.chain[0].Issuer.String())))
	}
	step.Summary = strings.Join(seen, "; ")
	if !secure {
		step.Status = Skipped
	}
	return step
}

func verify(chain []*x509.Certificate, host string, x *examination) error {
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: intermediates, CurrentTime: x.now()})
	return err
}

// broken is a connection that was made, and came to nothing.
func (x *examination) broken(step Step, p *probe) Step {
	step.Status, step.exit = Failed, exitUnreachable
	var record tls.RecordHeaderError
	var alert tls.AlertError
	where := p.target.address()
	switch result := connectResult(p.err); {
	case errors.As(p.err, &record):
		step.Summary = where + " does not answer in TLS"
	case errors.As(p.err, &alert):
		step.Summary = fmt.Sprintf("%s broke off the TLS handshake: %v", where, alert)
	case result == silent:
		step.Summary = fmt.Sprintf("%s took the connection, and then said nothing within %v", where, x.Timeout)
	case result == refused:
		step.Summary = where + " broke the connection off"
	default:
		step.Summary = fmt.Sprintf("%s: %s", where, redact.Clean(p.err.Error(), 300))
	}
	step.Remedy = "Something other than Maskinporten may have answered, most likely a proxy or a firewall: check the port; " + p.target.proxyAdvice() + see("tls")
	return step
}

// untrusted names whoever issued the certificate: most often a proxy that
// intercepts.
func untrusted(step Step, p *probe, err error) Step {
	step.Status, step.exit = Failed, exitUnreachable
	host, leaf := p.target.host, p.chain[0]
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
	)
	step.Remedy = fmt.Sprintf("If a proxy intercepts the connection, have %s exempted from it, or add the proxy's CA to this machine's trusted ones.", host)
	switch {
	case errors.As(err, &authority):
		step.Summary = fmt.Sprintf("the certificate of %s was issued by %s, which this machine does not trust", host, name(leaf.Issuer.String()))
		step.Remedy = fmt.Sprintf("That is not a public issuer, so a proxy or a firewall intercepts the connection: have %s exempted from it, or add its CA to this machine's trusted ones. If it is a public issuer, update this machine's ca-certificates.", host)
	case errors.As(err, &hostname):
		step.Summary = fmt.Sprintf("the certificate that came for %s is for %s, issued by %s", host, name(leaf.Subject.String()), name(leaf.Issuer.String()))
	default:
		step.Summary = fmt.Sprintf("the certificate of %s, issued by %s, is not good: %s", host, name(leaf.Issuer.String()), redact.Clean(err.Error(), 200))
	}
	step.Remedy += see("tls")
	return step
}

func name(s string) string { return fmt.Sprintf("%q", redact.Clean(s, 200)) }

func subjects(chain []*x509.Certificate) []string {
	list := []string{}
	for _, c := range chain {
		list = append(list, inspect.Name(c.Subject))
	}
	if len(chain) > 0 {
		list = append(list, inspect.Name(chain[len(chain)-1].Issuer))
	}
	return list
}
