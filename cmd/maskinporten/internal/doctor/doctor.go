// Package doctor walks the whole way of a token, from the configuration to the
// API, and says of each step what it saw and what to do.
//
//	config ─► keystore ──────► certificate, environment ─► revocation
//	   │                                     │
//	   └────► dns ─► proxy ─► tcp ─► clock ─► tls ─► metadata ─► jwks
//	                                         │
//	                                         └─► token ─► claims, delegation      self-service, api
//
// Steps that do not need each other run side by side, and are reported in a
// fixed order. A step that needs one that failed is skipped, so that the first
// failure is the one to mend.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/settings"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

// Status is how a step went.
type Status string

// What a step can be. Skipped steps say why.
const (
	OK      Status = "ok"
	Warning Status = "warning"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Step is one step as it is reported.
type Step struct {
	ID      string `json:"id"`
	Status  Status `json:"status"`
	Summary string `json:"summary"`
	Remedy  string `json:"remedy"`
	Details any    `json:"details"`

	exit    int    // exit status, if it failed and is the first to
	blocked string // the failed step that it was skipped for
}

// Report is all steps.
type Report struct {
	OK    bool   `json:"ok"`
	Steps []Step `json:"steps"`
}

// The exit statuses of the tool that a failed step can lead to.
const (
	exitLocal       = 1
	exitRefused     = 3
	exitUnreachable = 4
)

// Exit returns the exit status of r: that of its first failed step. With
// warnings, they count as failures of something local.
func (r Report) Exit(warnings bool) int {
	for _, s := range r.Steps {
		switch {
		case s.Status == Failed:
			return s.exit
		case s.Status == Warning && warnings:
			return exitLocal
		}
	}
	return 0
}

// Options are what Run looks at.
type Options struct {
	Settings *settings.Settings

	// APIs are those to reach.
	APIs []API

	// Admin reads how the client is registered; nil if no admin client is
	// configured.
	Admin *selfservice.Client

	// Offline leaves out what needs a network.
	Offline bool

	// Timeout is for each connection and each answer.
	Timeout time.Duration
}

// stage is the steps of one id, as Run carries them out.
type stage struct {
	id    string
	local bool     // needs no network
	needs []string // stages of which not all may have failed
	after []string // stages that have to have ended
	run   func(context.Context) []Step
}

// Run carries all steps out, and calls report with each in order, as soon as it
// and those before it are done. Before that it calls waiting with its id, unless
// it is done already.
func Run(ctx context.Context, o Options, waiting func(id string), report func(Step)) Report {
	x := &examination{Options: o}
	stages := x.stages()
	outcomes := make(map[string]*outcome, len(stages))
	for _, s := range stages {
		outcomes[s.id] = &outcome{done: make(chan struct{})}
	}
	for _, s := range stages {
		go func() {
			defer close(outcomes[s.id].done)
			for _, id := range slices.Concat(s.after, s.needs) {
				<-outcomes[id].done
			}
			outcomes[s.id].steps = x.carryOut(ctx, s, outcomes)
		}()
	}
	r := Report{OK: true}
	for _, s := range stages {
		select {
		case <-outcomes[s.id].done:
		default:
			waiting(s.id)
			<-outcomes[s.id].done
		}
		for _, step := range outcomes[s.id].steps {
			if step.Details == nil {
				step.Details = struct{}{}
			}
			r.OK = r.OK && step.Status != Failed
			r.Steps = append(r.Steps, step)
			report(step)
		}
	}
	return r
}

func (x *examination) carryOut(ctx context.Context, s stage, outcomes map[string]*outcome) (steps []Step) {
	if x.Offline && !s.local {
		return []Step{{ID: s.id, Status: Skipped, Summary: "needs the network, and --offline was given"}}
	}
	for _, id := range s.needs {
		if failed := outcomes[id].failed(); failed != "" {
			return []Step{skippedFor(s.id, failed)}
		}
	}
	return s.run(ctx)
}

func skippedFor(id, failed string) Step {
	return Step{ID: id, Status: Skipped, Summary: fmt.Sprintf("needs %s, which failed", failed), blocked: failed}
}

// outcome is what became of a stage.
type outcome struct {
	done  chan struct{}
	steps []Step
}

// failed returns the failed step for which the stages that need this one are
// skipped; empty if they can go on.
func (o *outcome) failed() (id string) {
	for _, s := range o.steps {
		switch {
		case s.Status == Failed:
			id = s.ID
		case s.blocked != "":
			id = s.blocked
		default:
			return ""
		}
	}
	return id
}

// examination is what the steps know of each other's findings. Each field is
// written by one step, and read by those that come after it.
type examination struct {
	Options

	configured configured // config
	opened     opened     // keystore
	names      names      // dns
	way        way        // config, proxy
	probes     []*probe   // clock
	skew       time.Duration
	described  described // metadata
	tokens     []gotten  // token
	delegated  []gotten  // delegation
	library    *maskinporten.Client
}

// stages are all steps in the order in which they are reported.
func (x *examination) stages() []stage {
	one := func(run func(context.Context) Step) func(context.Context) []Step {
		return func(ctx context.Context) []Step { return []Step{run(ctx)} }
	}
	return []stage{
		{id: "config", local: true, run: one(x.config)},
		{id: "keystore", local: true, after: []string{"config"}, run: one(x.keystore)},
		{id: "dns", after: []string{"config"}, run: one(x.dns)},
		{id: "proxy", needs: []string{"dns"}, run: one(x.proxy)},
		{id: "tcp", needs: []string{"proxy"}, run: one(x.tcp)},
		{id: "clock", needs: []string{"tcp"}, run: one(x.clock)},
		{id: "tls", needs: []string{"tcp"}, after: []string{"clock"}, run: one(x.tls)},
		{id: "certificate", local: true, needs: []string{"keystore"}, after: x.online("clock"), run: one(x.certificate)},
		{id: "environment", local: true, needs: []string{"keystore"}, after: []string{"config"}, run: one(x.environment)},
		{id: "metadata", needs: []string{"tls"}, run: one(x.metadata)},
		{id: "jwks", needs: []string{"tls", "metadata"}, run: one(x.jwks)},
		{id: "revocation", needs: []string{"certificate"}, run: one(x.revocation)},
		{id: "token", needs: []string{"config", "keystore", "clock", "tls", "certificate", "environment", "metadata"}, run: x.token},
		{id: "claims", needs: []string{"token", "jwks"}, after: []string{"delegation"}, run: x.claims},
		{id: "delegation", needs: []string{"token"}, run: x.delegation},
		{id: "self-service", needs: []string{"config", "keystore", "tls"}, after: []string{"clock", "token"}, run: one(x.selfService)},
		{id: "api", after: []string{"config", "clock"}, run: x.api},
	}
}

// see names the section of the troubleshooting page that says more.
func see(section string) string { return " See " + endpoint.Troubleshooting + section + "." }

// online leaves out a stage that says nothing without a network.
func (x *examination) online(id string) []string {
	if x.Offline {
		return nil
	}
	return []string{id}
}

// now is the time by Maskinporten's clock, as far as it is known.
func (x *examination) now() time.Time { return time.Now().Add(x.skew) }
