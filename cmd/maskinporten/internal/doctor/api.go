package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// API is one to reach.
type API struct {
	Name string
	URL  string // empty if there is none in this environment
}

type apiDetails struct {
	Name      string           `json:"name"`
	URL       string           `json:"url"`
	Addresses []addressDetails `json:"addresses,omitempty"`
	TLS       *chainDetails    `json:"tls,omitempty"`
}

// api goes the way to each API as far as TLS: what an API says of a token is
// for the program to see.
func (x *examination) api(ctx context.Context) []Step {
	if len(x.APIs) == 0 {
		return []Step{{ID: "api", Status: Skipped, Summary: "no API is named", Remedy: "Give --api to have the way to one looked at."}}
	}
	steps := make([]Step, len(x.APIs))
	var all sync.WaitGroup
	for i, a := range x.APIs {
		all.Go(func() { steps[i] = x.reach(ctx, a) })
	}
	all.Wait()
	return steps
}

func (x *examination) reach(ctx context.Context, a API) Step {
	step := Step{ID: "api", Status: OK}
	details := &apiDetails{Name: a.Name, URL: a.URL}
	step.Details = details
	t, err := newTarget(a.URL)
	if err != nil || t == nil {
		step.Status, step.exit = Failed, exitLocal
		step.Summary, step.Remedy = a.Name+": "+name(a.URL)+" is not a URL", "Give --api as a name that `maskinporten doctor --help` lists, or as https://host/path."
		return step
	}
	// The steps of Maskinporten's own way, for this server.
	way := examination{Options: x.Options, skew: x.skew}
	way.way.targets = []*target{t}
	done := func(s Step) bool {
		if s.Status == Failed || s.Status == Warning && step.Status == OK {
			step.Status, step.exit, step.Summary, step.Remedy = s.Status, exitUnreachable, a.Name+": "+s.Summary, s.Remedy
		}
		return step.Status == Failed
	}
	if done(way.dns(ctx)) || done(way.proxy(ctx)) {
		return step
	}
	tcp := way.tcp(ctx)
	details.Addresses = tcp.Details.(*tcpDetails).Addresses
	if done(tcp) {
		return step
	}
	way.probes = []*probe{look(ctx, t, x.Timeout)}
	tls := way.tls(ctx)
	if servers := tls.Details.(*tlsDetails).Servers; len(servers) > 0 {
		details.TLS = &servers[0]
	}
	if !done(tls) && step.Status == OK {
		step.Summary = strings.TrimSuffix(fmt.Sprintf("%s is reached: %s", a.Name, tls.Summary), "; ")
	}
	return step
}
