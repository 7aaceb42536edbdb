package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/console"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/doctor"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/settings"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

func (t *tool) doctorCommand() *cobra.Command {
	var (
		named   []string
		offline bool
		failOn  string
		admin   string
	)
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Walk the whole way from the keystore to the API, and say what is wrong",
		Long: `doctor looks at each step of the way from the keystore to the API, and says what it saw and what to do. The first step that
failed is the one to mend: those that need it are skipped. The exit status is that step's.

The APIs that --api knows are ` + list(apiNames()) + `.
Another is named by its URL; NAME=URL is one of these at another address.`,
		Example: `  maskinporten doctor
  maskinporten doctor --env-file maskinporten.env --scope skatteetaten:inntekt --api skatteetaten-inntekt
  maskinporten doctor --scope skatteetaten:inntekt --consumer-org 910753614 --consumer-org 313367002 -o json
  maskinporten doctor --offline --fail-on warning`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if failOn != "failed" && failOn != "warning" {
				return usageError{errors.New("--fail-on is failed or warning")}
			}
			return t.doctor(cmd.Context(), named, admin, offline, failOn == "warning")
		},
	}
	t.clientFlags(cmd)
	cmd.Flags().StringArrayVar(&named, "api", nil, "`NAME|URL` of an API to reach; may be repeated")
	cmd.Flags().StringVar(&admin, "admin-env-file", "", "`FILE` of variables of an admin client, to have the registration looked at")
	cmd.Flags().BoolVar(&offline, "offline", false, "look at what needs no network")
	cmd.Flags().StringVar(&failOn, "fail-on", "failed", "`failed|warning`: what makes the exit status other than 0")
	return cmd
}

func (t *tool) doctor(ctx context.Context, named []string, adminFile string, offline, warnings bool) error {
	admin, err := t.adminOf(ctx, adminFile)
	if err != nil {
		return err
	}
	configured, err := t.settings()
	if err != nil {
		return err
	}
	env, _ := configured.KnownEnvironment()
	apis, err := knownAPIs(named, env)
	if err != nil {
		return usageError{err}
	}
	o := doctor.Options{Settings: configured, APIs: apis, Admin: admin, Offline: offline, Timeout: t.timeout}
	waiting := func(id string) { t.console.Progress("%s …", id) }
	report := doctor.Run(ctx, o, waiting, func(s doctor.Step) {
		t.console.Progress("")
		if !t.console.JSON {
			t.printStep(s)
		}
	})
	if t.console.JSON {
		if err := t.console.Object(report); err != nil {
			return err
		}
	} else {
		t.printVerdict(report)
	}
	if status := report.Exit(warnings); status != 0 {
		return exitError(status)
	}
	return nil
}

// adminOf is the client of the self-service API that a file describes, if any.
func (t *tool) adminOf(ctx context.Context, file string) (*selfservice.Client, error) {
	if file == "" {
		return nil, nil
	}
	config, address, err := settings.Another(ctx, file)
	if err != nil {
		return nil, err
	}
	client, err := maskinporten.New(config)
	if err != nil {
		return nil, err
	}
	return selfservice.New(client, selfservice.Options{BaseURL: address})
}

// looks are how a status stands out on a terminal.
var looks = map[doctor.Status]struct {
	mark  string
	style console.Style
}{
	doctor.OK:      {"✓", console.Green},
	doctor.Warning: {"!", console.Yellow},
	doctor.Failed:  {"✗", console.Red},
	doctor.Skipped: {"-", console.Faint},
}

func (t *tool) printStep(s doctor.Step) {
	look := looks[s.Status]
	label := pad(string(s.Status), 8)
	if t.console.Terminal() && !t.console.ASCII {
		label = look.mark
	}
	t.console.Print("%s %s %s", t.console.Styled(look.style, label), pad(s.ID, 11), s.Summary)
	if s.Remedy != "" {
		t.console.Print("%s→ %s", strings.Repeat(" ", len([]rune(label))+13), s.Remedy)
	}
}

func (t *tool) printVerdict(r doctor.Report) {
	for _, s := range r.Steps {
		if s.Status == doctor.Failed {
			t.console.Print("\n%s %s failed first: mend that.", t.console.Styled(console.Red, "Not well."), s.ID)
			return
		}
	}
	t.console.Print("\n%s", t.console.Styled(console.Green, "All that was looked at is well."))
}

func pad(s string, width int) string {
	if missing := width - len([]rune(s)); missing > 0 {
		return s + strings.Repeat(" ", missing)
	}
	return s
}

// knownAPIs finds the address of each API in an environment.
func knownAPIs(named []string, env maskinporten.Environment) (apis []doctor.API, err error) {
	for _, n := range named {
		name, url, elsewhere := strings.Cut(n, "=")
		api, known := apiByName[name]
		switch {
		case known && !elsewhere:
			url = api.BaseURL(env)
		case !known && strings.Contains(n, "://"):
			name, url = n, n
		case !known:
			return nil, errors.New("--api " + n + " is not one of " + list(apiNames()) + ", and not a URL")
		}
		apis = append(apis, doctor.API{Name: name, URL: url})
	}
	return apis, nil
}
