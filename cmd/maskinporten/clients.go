package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten/selfservice"
)

func (t *tool) clientsCommand() *cobra.Command {
	a := &admin{tool: t}
	cmd := &cobra.Command{
		Use:   "clients",
		Short: "Make and change integrations in Samarbeidsportalen",
		Long: `clients lists, makes and changes the integrations of your organisation: clients of Maskinporten with their scopes.

It works through Digdir's self-service API, with the tokens of an admin client that the variables and flags describe. An admin client
is ordered from servicedesk@digdir.no.`,
		Example: "  maskinporten clients list\n  maskinporten clients create --name Pensjon --scope skatteetaten:inntekt",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	a.adminFlags(cmd)
	scopes := &cobra.Command{
		Use: "scopes", Short: "Change what an integration may ask for",
		Example: "  maskinporten clients scopes add CLIENT-ID skatteetaten:inntektsmottakere",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	scopes.AddCommand(a.scopesAddCommand(), a.scopesRemoveCommand())
	cmd.AddCommand(a.clientsListCommand(), a.clientsShowCommand(), a.clientsCreateCommand(), scopes, a.clientsDeactivateCommand())
	return cmd
}

func (a *admin) clientsListCommand() *cobra.Command {
	var inactive bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the integrations",
		Example: "  maskinporten clients list --inactive -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				list, err := api.Integrations(ctx, inactive)
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.console.Object(map[string]any{"integrations": list})
				}
				for _, i := range list {
					a.console.Print("%s  %-8s  %s  %s", i.ClientID, activity(i), i.Name, strings.Join(i.Scopes, " "))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&inactive, "inactive", false, "the deactivated ones too")
	return cmd
}

func activity(i selfservice.Integration) string {
	if i.Active {
		return "active"
	}
	return "inactive"
}

func (a *admin) clientsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show CLIENT-ID", Short: "Show one integration",
		Example: "  maskinporten clients show 3fa85f64-5717-4562-b3fc-2c963f66afa6",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				i, err := api.Integration(ctx, args[0])
				if err != nil {
					return err
				}
				return a.printIntegration(i)
			})
		},
	}
}

func (a *admin) printIntegration(i *selfservice.Integration) error {
	if a.output == "json" {
		return a.console.Object(i)
	}
	for _, line := range [][2]string{
		{"client id", i.ClientID}, {"name", i.Name}, {"description", i.Description}, {"state", activity(*i)},
		{"type", i.Type}, {"organisation", i.OrgNumber}, {"supplier", i.SupplierOrgNumber},
		{"scopes", strings.Join(i.Scopes, " ")}, {"changed", dateOf(i.LastUpdated)},
	} {
		if line[1] != "" {
			a.console.Print("%-13s %s", line[0]+":", line[1])
		}
	}
	return nil
}

func dateOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

func (a *admin) clientsCreateCommand() *cobra.Command {
	var (
		wanted selfservice.Integration
		file   string
	)
	cmd := &cobra.Command{
		Use: "create", Short: "Make an integration",
		Long: `create makes an integration, from flags or from a JSON file in the API's own form. What the file does not say is that of an
ordinary client of Maskinporten. It is sent once: if it is not known what became of it, list the integrations before trying again.`,
		Example: `  maskinporten clients create --name Pensjon --description "Inntekt til pensjon" --scope skatteetaten:inntekt
  maskinporten clients create --file integration.json --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" {
				if err := readIntegration(file, &wanted); err != nil {
					return err
				}
			}
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				made, err := api.Create(ctx, wanted)
				if err != nil {
					return err
				}
				return a.printIntegration(made)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&wanted.Name, "name", "", "what the integration is called in the portal")
	flags.StringVar(&wanted.Description, "description", "", "what it is for; the name, if not given")
	flags.StringArrayVar(&wanted.Scopes, "scope", nil, "`SCOPE` that it may ask for; may be repeated")
	flags.StringVar(&wanted.OrgNumber, "org", "", "`NUMBER` of the organisation that owns it, if not your own")
	flags.StringVar(&file, "file", "", "`FILE` with the integration as JSON; - for standard input")
	cmd.MarkFlagsMutuallyExclusive("file", "name")
	return a.writes(cmd)
}

// maxIntegration is far above any integration.
const maxIntegration = 1 << 20

func readIntegration(path string, into *selfservice.Integration) error {
	source := os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		source = file
	}
	data, err := io.ReadAll(io.LimitReader(source, maxIntegration))
	if err != nil {
		return fmt.Errorf("reading %q: %w", path, err)
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), into); err != nil {
		return fmt.Errorf("%q is not an integration as JSON: %w", path, err)
	}
	return nil
}

func (a *admin) scopesAddCommand() *cobra.Command {
	return a.writes(&cobra.Command{
		Use: "add CLIENT-ID SCOPE…", Short: "Register scopes on an integration",
		Example: "  maskinporten clients scopes add CLIENT-ID skatteetaten:inntektsmottakere",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				i, err := api.AddScopes(ctx, args[0], args[1:]...)
				if err != nil {
					return err
				}
				return a.printIntegration(i)
			})
		},
	})
}

func (a *admin) scopesRemoveCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use: "remove CLIENT-ID SCOPE…", Short: "Take scopes away from an integration",
		Example: "  maskinporten clients scopes remove CLIENT-ID skatteetaten:inntektsmottakere",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm("Take %s away from %s?", strings.Join(args[1:], " "), args[0]); err != nil {
				return err
			}
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				i, err := api.RemoveScopes(ctx, args[0], args[1:]...)
				if err != nil {
					return err
				}
				return a.printIntegration(i)
			})
		},
	})
}

func (a *admin) clientsDeactivateCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use: "deactivate CLIENT-ID", Short: "Deactivate an integration: it gets no more tokens",
		Example: "  maskinporten clients deactivate CLIENT-ID",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm("Deactivate %s? Programs that use it get no more tokens.", args[0]); err != nil {
				return err
			}
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				if err := api.Deactivate(ctx, args[0]); err != nil {
					return err
				}
				if a.output == "json" {
					return a.console.Object(map[string]any{"client_id": args[0], "active": false})
				}
				a.console.Print("%s is deactivated.", args[0])
				return nil
			})
		},
	})
}
