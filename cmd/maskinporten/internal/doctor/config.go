package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/settings"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// configured is what the variables say, as far as it could be read.
type configured struct {
	config      maskinporten.Config      // if all is well
	keystore    error                    // what the library says of the keystore; nil if it loads
	environment maskinporten.Environment // if that is known
	wellKnown   string                   // where its metadata is; empty if nobody knows
}

type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

type configDetails struct {
	Environment string     `json:"environment"`
	Variables   []variable `json:"variables"`
	Notes       []string   `json:"notes"`
}

// config has the library read the variables. What it says of a keystore that
// does not open is left to the step keystore.
func (x *examination) config(ctx context.Context) Step {
	c := &x.configured
	step := Step{ID: "config", Status: OK}
	details := configDetails{Variables: variables(x.Settings), Notes: append(append([]string{}, x.Settings.Notes...), unknownVariables()...)}
	step.Details = &details
	c.environment, c.wellKnown = x.Settings.KnownEnvironment()
	details.Environment = c.environment.Issuer
	if x.Settings.WellKnown != "" && c.environment != (maskinporten.Environment{}) {
		x.Settings.SetEnvironment(c.environment) // as it is most likely, until the metadata is there
	}
	x.way = wayTo(c)

	config, err := maskinporten.ConfigFromEnv()
	c.config = config
	problems, keystore := configProblems(err)
	c.keystore = keystore
	if os.Getenv("MASKINPORTEN_SCOPES") != "" {
		if _, err := maskinporten.RequestFromEnv(); err != nil {
			problems = append(problems, clean(err))
		}
	}
	switch {
	case len(problems) > 0:
		step.Status, step.exit = Failed, exitLocal
		step.Summary = strings.Join(append(problems, details.Notes...), "; ")
		step.Remedy = "Set the MASKINPORTEN_* variables, or the flags of the same meaning: see `maskinporten doctor --help`."
	case len(details.Notes) > 0:
		step.Status = Warning
		step.Summary = strings.Join(details.Notes, "; ")
		step.Remedy = "Mend what is not meant like that."
	default:
		step.Summary = fmt.Sprintf("%s, client %s", environmentName(c.environment), redact.Clean(os.Getenv("MASKINPORTEN_CLIENT_ID"), 100))
	}
	return step
}

// configProblems are the parts of an error of ConfigFromEnv that are about the
// variables, and the one about the keystore that they name.
func configProblems(err error) (problems []string, keystore error) {
	if err == nil {
		return nil, nil
	}
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		var field *maskinporten.FieldError
		if errors.As(err, &field) && ofKeystore(field) {
			keystore = errors.Unwrap(field)
		} else {
			problems = append(problems, clean(err))
		}
	}
	return problems, keystore
}

// ofKeystore reports whether e is about what is in a keystore, or about its
// password, rather than about which variables are set.
func ofKeystore(e *maskinporten.FieldError) bool {
	if errors.Unwrap(e) != nil {
		return true
	}
	missingPassword := e.Field == "MASKINPORTEN_KEYSTORE_PASSWORD" && os.Getenv(e.Field) == ""
	return missingPassword
}

// variables are those that are set, without what is secret.
func variables(s *settings.Settings) []variable {
	set := []variable{}
	for _, name := range settings.Known {
		value, ok := os.LookupEnv(name)
		if !ok {
			continue
		}
		if slices.Contains(settings.Secret, name) {
			value = redact.Hidden
		} else if strings.HasSuffix(name, "_PATH") || strings.HasSuffix(name, "_FILE") {
			value = shownPath(value)
		}
		set = append(set, variable{name, redact.Clean(value, 300), s.Origin[name]})
	}
	return set
}

// unknownVariables points out names that nothing reads, which are most often
// spelling mistakes.
func unknownVariables() (notes []string) {
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "MASKINPORTEN_") && !slices.Contains(settings.Known, name) {
			notes = append(notes, fmt.Sprintf("nothing reads %s: look at its spelling", redact.Clean(name, 60)))
		}
	}
	slices.Sort(notes)
	return notes
}

func environmentName(env maskinporten.Environment) string {
	switch env.Issuer {
	case maskinporten.Prod.Issuer:
		return "prod"
	case maskinporten.Test.Issuer:
		return "test"
	}
	return env.Issuer
}

// clean is the text of an error, without what the library begins each with.
func clean(err error) string { return strings.TrimPrefix(err.Error(), "maskinporten: ") }
