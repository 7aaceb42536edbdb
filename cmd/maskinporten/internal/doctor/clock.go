package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"
)

// Maskinporten tolerates ten seconds
// (https://docs.digdir.no/docs/Maskinporten/maskinporten_protocol_jwtgrant).
const (
	maxSkew  = 10 * time.Second
	warnSkew = 5 * time.Second
)

// probe is what a server shows of itself over a connection that is not
// verified, and over which nothing secret goes: its clock and its certificates.
type probe struct {
	target *target
	date   time.Time // zero if it did not say
	skew   time.Duration
	chain  []*x509.Certificate
	tls    *tls.ConnectionState
	err    error
}

type clockDetails struct {
	Date    string  `json:"date,omitempty"`
	Host    string  `json:"host,omitempty"`
	Seconds float64 `json:"skew_seconds"`
}

// clock compares this machine's clock with the Date of an answer. It comes
// before certificates are judged, and does not need a good one: a clock that is
// years off makes all certificates look bad.
func (x *examination) clock(ctx context.Context) Step {
	x.probes = make([]*probe, len(x.way.targets))
	var all sync.WaitGroup
	for i, t := range x.way.targets {
		all.Go(func() { x.probes[i] = look(ctx, t, x.Timeout) })
	}
	all.Wait()
	step := Step{ID: "clock", Status: OK}
	for _, p := range x.probes {
		if p.date.IsZero() {
			continue
		}
		x.skew = 0
		if p.skew.Abs() > time.Second {
			x.skew = p.skew
		}
		step.Details = clockDetails{Date: p.date.UTC().Format(time.RFC3339), Host: p.target.host, Seconds: p.skew.Round(100 * time.Millisecond).Seconds()}
		step.Summary = "agrees with " + p.target.host
		if p.skew.Abs() > time.Second {
			step.Summary = describeSkew(p.skew) + " the clock of " + p.target.host
		}
		remedy := "Set the clock by NTP: `timedatectl status`, `chronyc tracking`. On a virtual machine, look at the host's clock too." + see("clock")
		switch {
		case p.skew.Abs() > maxSkew:
			step.Status, step.exit = Failed, exitLocal
			step.Summary += "; Maskinporten tolerates ten seconds"
			step.Remedy = remedy
		case p.skew.Abs() > warnSkew:
			step.Status = Warning
			step.Summary += "; Maskinporten tolerates ten seconds"
			step.Remedy = remedy
		}
		return step
	}
	step.Status = Skipped
	step.Summary = "no answer said what time it is"
	step.Details = clockDetails{}
	return step
}

// describeSkew says how far this machine's clock is off.
func describeSkew(skew time.Duration) string {
	direction := "behind"
	if skew < 0 {
		direction = "ahead of"
	}
	var amount string
	switch skew = skew.Abs(); {
	case skew < 2*time.Minute:
		amount = fmt.Sprintf("%d seconds", int(skew.Round(time.Second).Seconds()))
	case skew < 2*time.Hour:
		amount = fmt.Sprintf("%d minutes", int(math.Round(skew.Minutes())))
	case skew < 48*time.Hour:
		amount = fmt.Sprintf("%d hours", int(math.Round(skew.Hours())))
	default:
		amount = fmt.Sprintf("%d days", int(math.Round(skew.Hours()/24)))
	}
	return "this machine's clock is " + amount + " " + direction
}

// look asks for the head of t's document.
func look(ctx context.Context, t *target, timeout time.Duration) *probe {
	p := &probe{target: t}
	transport := newTransport(timeout)
	defer transport.CloseIdleConnections()
	transport.TLSClientConfig = &tls.Config{
		MinVersion: tls.VersionTLS12,
		// The step tls judges the certificates, by the time that is found here.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			p.tls, p.chain = &state, state.PeerCertificates
			return nil
		},
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodHead, t.url.String(), nil)
	if err != nil {
		p.err = err
		return p
	}
	sent := time.Now()
	answer, err := transport.RoundTrip(request)
	if err != nil {
		p.err = err
		return p
	}
	answer.Body.Close()
	arrived := time.Now()
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		p.date = date
		// The Date was cut to a whole second, somewhere between the two.
		p.skew = date.Add(500 * time.Millisecond).Sub(sent.Add(arrived.Sub(sent) / 2))
	}
	return p
}

// newTransport takes the same way as the library, and keeps to the time limit.
func newTransport(timeout time.Duration) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		TLSHandshakeTimeout:    timeout,
		ResponseHeaderTimeout:  timeout,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
	}
}
