package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/console"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/settings"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

// The exit statuses of all commands.
const (
	exitDone        = 0
	exitLocal       = 1 // something on this machine is wrong
	exitUsage       = 2
	exitRefused     = 3 // Maskinporten said no
	exitUnreachable = 4 // not reachable, or out of order
)

// exitError has a command end with a status after it has said all there is to
// say.
type exitError int

func (exitError) Error() string { return "" }

// tool is what all commands share.
type tool struct {
	console *console.Console
	flags   settings.Flags
	output  string
	ascii   bool
	timeout time.Duration
}

// run carries out a command line and returns the exit status.
func run(ctx context.Context, args []string) int {
	t := &tool{console: console.New()}
	console.Interrupted = ctx.Done()
	root := t.root()
	root.SetArgs(args)
	started := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		// What cobra finds wrong before this is in the command line.
		started = true
		return t.prepare(cmd)
	}
	cmd, err := root.ExecuteContextC(ctx)
	var silent exitError
	if failed := t.console.Failed(); failed != nil && !errors.Is(err, failed) {
		t.console.Note("the output is not whole: %v", failed)
		return exitLocal
	}
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &silent):
		return int(silent)
	}
	t.console.Note("%v", err)
	if !started || errors.As(err, new(usageError)) {
		t.console.Note("See `%s --help`.", cmd.CommandPath())
		return exitUsage
	}
	return statusOf(err)
}

// usageError is a mistake in the command line that only the command itself sees.
type usageError struct{ error }

// statusOf is the exit status for an error.
func statusOf(err error) int {
	var refusal *maskinporten.Error
	var answer *selfservice.Error
	switch {
	case errors.Is(err, selfservice.ErrUnavailable):
		return exitUnreachable
	case errors.As(err, &answer) && answer.StatusCode >= 400:
		return exitRefused
	case errors.As(err, &refusal) && !refusal.Temporary():
		return exitRefused
	case errors.Is(err, maskinporten.ErrUnavailable), isNetwork(err):
		return exitUnreachable
	}
	return exitLocal
}

func (t *tool) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "maskinporten",
		Short: "Find out why tokens from Maskinporten fail, and work with them",
		Long: `maskinporten finds out why tokens from Maskinporten fail, and does the daily work around them.

It is configured by the MASKINPORTEN_* variables that the Go library reads, by a file of them, and by flags, which come first.
A result goes to standard output, all else to standard error. The exit status is 0 when all is done, 1 when something on this
machine is wrong, 2 for a wrong command line, 3 when Maskinporten refused and 4 when it was not reached or is out of order.`,
		Example: `  maskinporten doctor --env test --client-id 8f4c1f0e-… --keystore cert.p12 --password-file password.txt --scope skatteetaten:inntekt
  maskinporten token --env-file maskinporten.env --scope skatteetaten:inntekt
  maskinporten inspect cert.p12`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&t.output, "output", "o", "text", "text or json")
	flags.BoolVar(&t.ascii, "ascii", false, "print nothing but ASCII")
	flags.StringVar(&t.flags.EnvFile, "env-file", "", "read variables from `FILE`, in the form of docker's --env-file")
	flags.DurationVar(&t.timeout, "timeout", 10*time.Second, "for each connection and each answer")
	root.AddGroup(&cobra.Group{ID: "on-call", Title: "To find out what is wrong:"}, &cobra.Group{ID: "daily", Title: "Daily work:"})
	root.SetHelpCommandGroupID("")
	onCall := []*cobra.Command{t.doctorCommand(), t.inspectCommand()}
	daily := []*cobra.Command{t.tokenCommand(), t.delegationsCommand(), t.convertCommand(), t.keysCommand(), t.clientsCommand(), t.fakeCommand()}
	for _, c := range onCall {
		c.GroupID = "on-call"
		root.AddCommand(c)
	}
	for _, c := range daily {
		c.GroupID = "daily"
		root.AddCommand(c)
	}
	root.AddCommand(t.versionCommand())
	explainArguments(root)
	root.InitDefaultCompletionCmd("completion") // now, to change it
	for _, c := range root.Commands() {
		if c.Name() == "completion" { // else an unknown shell is answered by help, and that is a success
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

// explainArguments has a wrong number of arguments answered by what belongs
// there.
func explainArguments(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		explainArguments(c)
	}
	if cmd.HasSubCommands() || cmd.Args == nil {
		return
	}
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) != nil {
			return fmt.Errorf("the arguments do not fit `%s`", cmd.UseLine())
		}
		return nil
	}
}

// prepare looks at the flags that all commands share.
func (t *tool) prepare(cmd *cobra.Command) error {
	t.console.ASCII = t.console.ASCII || t.ascii
	t.console.JSON = t.output == "json"
	allowed := outputs(cmd)
	for _, o := range allowed {
		if t.output == o {
			return nil
		}
	}
	return usageError{errors.New("--output " + t.output + " is not one of " + list(allowed))}
}

// outputs are the values of --output that a command takes.
func outputs(cmd *cobra.Command) []string {
	if more := cmd.Annotations["outputs"]; more != "" {
		return append([]string{"text", "json"}, strings.Fields(more)...)
	}
	return []string{"text", "json"}
}

// clientFlags adds the flags that stand in for the variables of a client.
func (t *tool) clientFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&t.flags.Environment, "env", "", "`prod|test|URL`: the environment, or the URL of another's metadata")
	flags.StringVar(&t.flags.ClientID, "client-id", "", "the client's `ID` in Samarbeidsportalen")
	flags.StringVar(&t.flags.Keystore, "keystore", "", "`FILE` with the key: PKCS#12, PEM or JWK")
	flags.StringVar(&t.flags.PasswordFile, "password-file", "", "`FILE` with the keystore's password; - for standard input")
	flags.StringVar(&t.flags.KeyID, "kid", "", "`ID` under which the key is registered on the client")
	flags.StringArrayVar(&t.flags.Scopes, "scope", nil, "`SCOPE` to ask for; may be repeated")
	flags.StringArrayVar(&t.flags.ConsumerOrgs, "consumer-org", nil, "organisation `NUMBER` of the customer that has delegated the scope")
	flags.StringVar(&t.flags.Resource, "resource", "", "`URI` of the API that the token is to be restricted to")
}

// settings puts variables and flags together, and says what is odd in them.
func (t *tool) settings() (*settings.Settings, error) {
	if t.timeout <= 0 {
		return nil, usageError{errors.New("--timeout must be more than nothing")}
	}
	s, err := t.flags.Load(t.console.ReadPassword)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// client is the library's Client for the variables and flags.
func (t *tool) client(ctx context.Context) (*maskinporten.Client, *settings.Settings, error) {
	s, err := t.settings()
	if err != nil {
		return nil, nil, err
	}
	for _, note := range s.Notes {
		t.console.Note("%s", note)
	}
	config, err := s.Config(ctx)
	if err != nil {
		return nil, nil, err
	}
	client, err := maskinporten.New(config)
	return client, s, err
}
