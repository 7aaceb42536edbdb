package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/settings"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

// admin is what the commands on integrations and keys share: the admin client
// of the variables and flags, and what they may do.
type admin struct {
	*tool
	address string
	dryRun  bool
	yes     bool
}

// log shows what the library says on standard error.
func (a *admin) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.console.Err, &slog.HandlerOptions{ReplaceAttr: func(_ []string, attr slog.Attr) slog.Attr {
		if attr.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attr
	}}))
}

// adminFlags adds the flags of an admin client.
func (a *admin) adminFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&a.flags.Environment, "env", "", "`prod|test|URL`: the environment, or the URL of another's metadata")
	flags.StringVar(&a.flags.ClientID, "client-id", "", "`ID` of the admin client that does the work")
	flags.StringVar(&a.flags.Keystore, "keystore", "", "`FILE` with its key: PKCS#12, PEM or JWK")
	flags.StringVar(&a.flags.PasswordFile, "password-file", "", "`FILE` with the keystore's password; - for standard input")
	flags.StringVar(&a.flags.KeyID, "kid", "", "`ID` under which its key is registered")
	flags.StringVar(&a.address, "self-service-url", "", "`URL` of the self-service API, if not the environment's own; or "+settings.SelfService)
}

// writes adds the flags of a command that changes something.
func (a *admin) writes(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "print what would be sent, and send nothing that changes anything")
	return cmd
}

// takes adds the flags of a command that takes something away.
func (a *admin) takes(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask on a terminal")
	return a.writes(cmd)
}

// confirm asks before something is taken away, if a person can answer.
func (a *admin) confirm(format string, args ...any) error {
	if a.yes || a.dryRun || a.console.Confirm(format, args...) {
		return nil
	}
	return errors.New("nothing was changed")
}

// do runs a command with a client of the self-service API. In a dry run, what
// would change something is printed and ends the command.
func (a *admin) do(ctx context.Context, run func(context.Context, *selfservice.Client) error) error {
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	if a.address == "" {
		a.address = os.Getenv(settings.SelfService) // the env file has been read by now
	}
	options := selfservice.Options{BaseURL: a.address, Logger: a.log()}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rehearsal := &rehearsal{base: http.DefaultTransport, end: cancel}
	if a.dryRun {
		options.HTTPClient = &http.Client{Transport: rehearsal, Timeout: a.timeout}
	}
	api, err := selfservice.New(client, options)
	if err != nil {
		return err
	}
	err = run(ctx, api)
	if rehearsal.kept != nil {
		return a.printRehearsal(rehearsal.kept)
	}
	return err
}

// rehearsal lets reading through, and keeps the first request that would
// change something instead of sending it.
type rehearsal struct {
	base http.RoundTripper
	end  context.CancelFunc
	kept *wouldSend
}

// wouldSend is a request that is not sent.
type wouldSend struct {
	Method string          `json:"method"`
	URL    string          `json:"url"`
	Body   json.RawMessage `json:"body,omitempty"`
}

func (r *rehearsal) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		return r.base.RoundTrip(req)
	}
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
		req.Body.Close()
	}
	r.kept = &wouldSend{Method: req.Method, URL: req.URL.String(), Body: body}
	r.end()
	return nil, errors.New("this is a dry run")
}

func (a *admin) printRehearsal(w *wouldSend) error {
	if a.output == "json" {
		return a.console.Object(map[string]any{"dry_run": true, "would_send": w})
	}
	a.console.Print("Would send %s %s", w.Method, w.URL)
	var indented bytes.Buffer
	if json.Indent(&indented, w.Body, "", "  ") == nil && indented.Len() > 0 {
		a.console.Print("%s", indented.String())
	}
	return nil
}
