package doctor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// gotten is a token, or why there is none.
type gotten struct {
	request maskinporten.Request
	token   *maskinporten.Token
	err     error
}

// what names what was asked for.
func (g gotten) what() string {
	if g.request.ConsumerOrg != "" {
		return g.request.Scope + " for " + g.request.ConsumerOrg
	}
	return g.request.Scope
}

type tokenDetails struct {
	Scope       string `json:"scope"`
	ConsumerOrg string `json:"consumer_org,omitempty"`
	ExpiresIn   int    `json:"expires_in,omitempty"`
	HTTPStatus  int    `json:"http_status,omitempty"`
	Error       string `json:"error,omitempty"`
	Description string `json:"error_description,omitempty"`
	MPCode      string `json:"mp_code,omitempty"`
	TraceID     string `json:"trace_id,omitempty"`
}

// flights bounds how long the library may try: three attempts.
const flights = 3

// client is the library's, as a program would make it.
func (x *examination) client() (*maskinporten.Client, error) {
	config := x.configured.config
	if x.Settings.WellKnown != "" {
		var err error
		if config, err = maskinporten.ConfigFromEnv(); err != nil { // the metadata is known by now
			return nil, err
		}
	}
	return maskinporten.New(config)
}

// token gets one for each scope, for the client's own organisation.
func (x *examination) token(ctx context.Context) []Step {
	scopes := x.Settings.AllScopes()
	if len(scopes) == 0 {
		return []Step{{ID: "token", Status: Skipped, Summary: "no scope is configured", Remedy: "Give --scope, or set MASKINPORTEN_SCOPES."}}
	}
	client, err := x.client()
	if err != nil {
		return []Step{{ID: "token", Status: Failed, exit: exitLocal, Summary: clean(err), Remedy: "Mend the configuration."}}
	}
	x.library = client
	ctx, cancel := context.WithTimeout(ctx, flights*x.Timeout)
	defer cancel()
	x.tokens = make([]gotten, len(scopes))
	steps := make([]Step, len(scopes))
	var all sync.WaitGroup
	for i, scope := range scopes {
		all.Go(func() {
			steps[i], x.tokens[i] = x.get(ctx, "token", maskinporten.Request{Scope: scope, Resource: x.Settings.Resource})
		})
	}
	all.Wait()
	if len(x.Settings.Customers()) > 0 {
		for i := range steps {
			forgive(&steps[i], x.tokens[i].err)
		}
	}
	return steps
}

// forgive passes over what is no fault with a supplier: that its own
// organisation has no access to what its customers delegate to it.
func forgive(step *Step, err error) {
	var refusal *maskinporten.Error
	if errors.As(err, &refusal) && refusal.MPCode == "MP-250" {
		step.Status, step.exit, step.Remedy = Skipped, 0, ""
		step.Summary = fmt.Sprintf("%s: the client's own organisation has not been granted it, which a supplier does not need: see delegation", step.Details.(*tokenDetails).Scope)
	}
}

// get gets one token.
func (x *examination) get(ctx context.Context, id string, r maskinporten.Request) (Step, gotten) {
	step := Step{ID: id, Status: OK}
	details := &tokenDetails{Scope: r.Scope, ConsumerOrg: r.ConsumerOrg}
	step.Details = details
	token, err := x.library.Token(ctx, r)
	got := gotten{r, token, err}
	if err == nil {
		details.ExpiresIn = int(time.Until(token.Expiry()).Round(time.Second).Seconds())
		step.Summary = fmt.Sprintf("%s: a token for %d seconds", got.what(), details.ExpiresIn)
		return step, got
	}
	step.Status = Failed
	step.exit, step.Summary, step.Remedy = describe(err, details)
	step.Summary = got.what() + ": " + step.Summary
	return step, got
}

// page is the section of the troubleshooting page that an error names.
var page = regexp.MustCompile(regexp.QuoteMeta(endpoint.Troubleshooting) + `[\w-]+`)

// describe takes an error of the library apart.
func describe(err error, details *tokenDetails) (exit int, summary, remedy string) {
	var (
		refusal *maskinporten.Error
		network *endpoint.NetworkError
		field   *maskinporten.FieldError
	)
	switch {
	case errors.As(err, &refusal):
		details.HTTPStatus, details.Error, details.Description = refusal.StatusCode, refusal.Code, refusal.Description
		details.MPCode, details.TraceID = refusal.MPCode, refusal.TraceID
		parts := []string{fmt.Sprintf("HTTP %d", refusal.StatusCode)}
		for _, part := range []string{refusal.Code, refusal.MPCode} {
			if part != "" {
				parts = append(parts, part)
			}
		}
		summary = strings.Join(parts, " ")
		if refusal.Description != "" {
			summary += ": " + refusal.Description
		}
		remedy = refusal.Remedy()
		if page := page.FindString(err.Error()); page != "" {
			remedy += " See " + page + "."
		}
		if refusal.TraceID != "" {
			remedy += " Trace id for Digdir: " + refusal.TraceID + "."
		}
		if refusal.Temporary() {
			return exitUnreachable, summary, remedy
		}
		return exitRefused, summary, remedy
	case errors.As(err, &network):
		return exitUnreachable, network.What(), network.Remedy() + " See " + page.FindString(err.Error()) + "."
	case errors.As(err, &field):
		return exitLocal, clean(err), "Mend that value."
	case errors.Is(err, maskinporten.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return exitUnreachable, clean(err), "Try again; see status.digdir.no."
	}
	return exitLocal, clean(err), "This is something on this machine: see the text."
}

// maxDelegations bounds how many customers are asked for side by side.
const maxDelegations = 8

// delegation gets a token for each customer and each scope.
func (x *examination) delegation(ctx context.Context) []Step {
	customers := x.Settings.Customers()
	if len(customers) == 0 {
		return []Step{{ID: "delegation", Status: Skipped, Summary: "no customer is configured"}}
	}
	var requests []maskinporten.Request
	for _, own := range x.tokens {
		for _, customer := range customers {
			requests = append(requests, maskinporten.Request{Scope: own.request.Scope, ConsumerOrg: customer, Resource: x.Settings.Resource})
		}
	}
	steps := make([]Step, len(requests))
	x.delegated = make([]gotten, len(requests))
	slots := make(chan struct{}, maxDelegations)
	var all sync.WaitGroup
	for i, r := range requests {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, flights*x.Timeout)
			defer cancel()
			steps[i], x.delegated[i] = x.get(ctx, "delegation", r)
		})
	}
	all.Wait()
	return steps
}
