package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/settings"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

type selfServiceDetails struct {
	ClientID   string            `json:"client_id"`
	Active     bool              `json:"active"`
	KeyID      string            `json:"kid,omitempty"`
	Registered bool              `json:"registered"`
	DaysLeft   *int              `json:"days_left,omitempty"`
	Scopes     []string          `json:"scopes"`
	Access     map[string]string `json:"access"` // state of each scope, where the API says it
}

// keyDays is from when a registered key's end is a warning.
const keyDays = 30

// selfService looks at how the client is registered, with the tokens of an
// admin client: its key, its scopes, and whether they were granted.
func (x *examination) selfService(ctx context.Context) Step {
	step := Step{ID: "self-service", Status: Skipped}
	if x.Admin == nil {
		step.Summary = "no admin client is configured"
		step.Remedy = "Give --admin-env-file with the variables of one to have the registration looked at."
		return step
	}
	clientID := os.Getenv(settings.ClientID)
	if clientID == "" {
		step.Summary = "no client id is configured"
		return step
	}
	ctx, cancel := context.WithTimeout(ctx, flights*x.Timeout)
	defer cancel()
	details := selfServiceDetails{ClientID: clientID, Access: map[string]string{}}
	if x.opened.key != nil && x.opened.content != nil {
		details.KeyID = x.keyID()
	}
	problems, warnings, err := x.registration(ctx, &details)
	step.Details = details
	switch {
	case err != nil:
		step.Status, step.exit, step.Summary = Failed, exitOf(err), clean(err)
		step.Remedy = "See that the admin client may read this client's registration."
	case len(problems) > 0:
		step.Status, step.exit, step.Summary = Failed, exitLocal, strings.Join(problems, "; ")
		step.Remedy = "Mend it in Samarbeidsportalen, or with `maskinporten clients` and `maskinporten keys`."
	case len(warnings) > 0:
		step.Status, step.Summary = Warning, strings.Join(warnings, "; ")
		step.Remedy = "Renew the key with `maskinporten keys rotate`, and ask the owners of the scopes."
	default:
		step.Status, step.Summary = OK, "the client is active and has "+strings.Join(x.Settings.AllScopes(), " ")
		if details.DaysLeft != nil {
			step.Summary += fmt.Sprintf("; key %s has %d days left", details.KeyID, *details.DaysLeft)
		}
	}
	return step
}

// registration holds the client's registration against what is configured.
func (x *examination) registration(ctx context.Context, d *selfServiceDetails) (problems, warnings []string, err error) {
	integration, err := x.Admin.Integration(ctx, d.ClientID)
	if err != nil {
		return nil, nil, err
	}
	d.Active, d.Scopes = integration.Active, integration.Scopes
	if !d.Active {
		problems = append(problems, "the client is deactivated")
	}
	keys, err := x.Admin.Keys(ctx, d.ClientID)
	if err != nil {
		return nil, nil, err
	}
	switch at := slices.IndexFunc(keys, func(k selfservice.Key) bool { return k.KeyID == d.KeyID }); {
	case d.KeyID == "" && len(keys) > 0:
		problems = append(problems, "keys are registered on the client, so that it must sign with one of them, and no key id is configured")
	case d.KeyID == "":
	case at < 0:
		problems = append(problems, fmt.Sprintf("the key id %q is not registered on the client", d.KeyID))
	default:
		d.Registered = true
		if days, known := keys[at].DaysLeft(x.now()); known {
			d.DaysLeft = &days
			switch {
			case !x.now().Before(keys[at].Expires):
				problems = append(problems, fmt.Sprintf("the registered key %q expired on %s", d.KeyID, keys[at].Expires.Format(time.DateOnly)))
			case days < keyDays:
				warnings = append(warnings, fmt.Sprintf("the registered key %q has %d days left", d.KeyID, days))
			}
		}
	}
	access, err := x.Admin.Access(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, scope := range x.Settings.AllScopes() {
		if !slices.Contains(integration.Scopes, scope) {
			problems = append(problems, fmt.Sprintf("the scope %q is not on the client", scope))
		}
		for _, a := range access {
			if a.Scope != scope {
				continue
			}
			d.Access[scope] = a.State
			if !a.Granted() {
				warnings = append(warnings, fmt.Sprintf("access to the scope %q is %s", scope, strings.ToLower(a.State)))
			}
		}
	}
	return problems, warnings, nil
}

// keyID is the id that grants would name the key by.
func (x *examination) keyID() string {
	if kid := os.Getenv(settings.KeyID); kid != "" {
		return kid
	}
	return x.opened.key.ID
}

func exitOf(err error) int {
	var refusal *maskinporten.Error
	var answer *selfservice.Error
	switch {
	case errors.Is(err, selfservice.ErrUnavailable), errors.Is(err, maskinporten.ErrUnavailable):
		return exitUnreachable
	case errors.As(err, &refusal), errors.As(err, &answer):
		return exitRefused
	}
	return exitLocal
}
