package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten/selfservice"
)

// registeredKeyCommands are those on the keys that are registered on a client.
func (t *tool) registeredKeyCommands() []*cobra.Command {
	a := &admin{tool: t}
	commands := []*cobra.Command{a.keysListCommand(), a.keysRegisterCommand(), a.keysRotateCommand(), a.keysRemoveCommand()}
	for _, cmd := range commands {
		a.adminFlags(cmd)
	}
	return commands
}

func (a *admin) keysListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list CLIENT-ID", Short: "List the keys of a client, and how long they live",
		Example: "  maskinporten keys list 3fa85f64-5717-4562-b3fc-2c963f66afa6",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				keys, err := api.Keys(ctx, args[0])
				if err != nil {
					return err
				}
				return a.printKeys(args[0], keys)
			})
		},
	}
}

// registeredKey is a key as JSON.
type registeredKey struct {
	KeyID     string     `json:"kid"`
	Algorithm string     `json:"alg"`
	Bits      int        `json:"bits"`
	Expires   *time.Time `json:"expires_at,omitempty"`
	DaysLeft  *int       `json:"days_left,omitempty"` // absent if the API does not say when it expires
}

func (a *admin) printKeys(clientID string, keys []selfservice.Key) error {
	list := make([]registeredKey, 0, len(keys))
	for _, k := range keys {
		r := registeredKey{KeyID: k.KeyID, Algorithm: k.Algorithm, Bits: k.PublicKey.N.BitLen()}
		if days, known := k.DaysLeft(time.Now()); known {
			expires := k.Expires.UTC()
			r.DaysLeft, r.Expires = &days, &expires
		}
		list = append(list, r)
	}
	if a.output == "json" {
		return a.console.Object(map[string]any{"client_id": clientID, "keys": list})
	}
	if len(list) == 0 {
		a.console.Print("No key is registered on %s.", clientID)
	}
	for _, r := range list {
		left := "end not known"
		if r.DaysLeft != nil {
			left = fmt.Sprintf("until %s (%d days left)", r.Expires.Format(time.DateOnly), *r.DaysLeft)
		}
		a.console.Print("%s  %s  %d bits  %s", r.KeyID, r.Algorithm, r.Bits, left)
	}
	return nil
}

func (a *admin) keysRegisterCommand() *cobra.Command {
	return a.writes(&cobra.Command{
		Use: "register CLIENT-ID FILE|-", Short: "Register the public half of a key",
		Long: `register registers a public key, a JWK with its kid, on a client beside those that it has. A private key is refused: only the
public half may leave its place. A client that has registered keys must use one of them from then on.`,
		Example: "  maskinporten keys register CLIENT-ID public.jwk",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			data, err := readPublicKey(args[1])
			if err != nil {
				return err
			}
			key, err := selfservice.ParseKey(data)
			if err != nil {
				return err
			}
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				keys, err := api.RegisterKey(ctx, args[0], key)
				if err != nil {
					return err
				}
				return a.printKeys(args[0], keys)
			})
		},
	})
}

func readPublicKey(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(io.LimitReader(os.Stdin, maxJWK))
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, maxJWK))
}

// maxJWK is far above any public key.
const maxJWK = 1 << 20

func (a *admin) keysRotateCommand() *cobra.Command {
	var (
		file, scope string
		grace       time.Duration
		due         bool
	)
	cmd := &cobra.Command{
		Use: "rotate CLIENT-ID --key-file FILE", Short: "Renew a key without a call failing",
		Long: `rotate makes a new key, registers it beside the old one, proves it by a token request, puts it in the key file, gives the programs
that read the file time to see it, and removes the old key. If it ends before its time, run it again: it goes on where it was.`,
		Example: `  maskinporten keys rotate CLIENT-ID --key-file client.jwk
  maskinporten keys rotate CLIENT-ID --key-file client.jwk --when-due     # for a daily task`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rotation := selfservice.KeyFile(args[0], file)
			rotation.Scope, rotation.Grace = scope, grace
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				if a.dryRun {
					return a.rehearseRotation(ctx, api, args[0], file)
				}
				return a.rotate(ctx, api, rotation, due)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&file, "key-file", "", "`FILE` with the private JWK that the programs read; made if it is not there")
	flags.StringVar(&scope, "scope", "", "`SCOPE` to prove the new key with; the client's first, if not given")
	flags.DurationVar(&grace, "grace", 0, "how long the old key stays after the new one is in the file (default 7m0s)")
	flags.BoolVar(&due, "when-due", false, "only if the key has less than 60 days left, or a rotation was left")
	cmd.MarkFlagRequired("key-file")
	return a.writes(cmd)
}

func (a *admin) rotate(ctx context.Context, api *selfservice.Client, rotation selfservice.Rotation, due bool) error {
	if due {
		rotated, err := api.RotateWhenDue(ctx, rotation)
		if err != nil || !rotated {
			if err == nil && a.output == "json" {
				return a.console.Object(map[string]any{"client_id": rotation.ClientID, "rotated": false})
			}
			if err == nil {
				a.console.Print("The key of %s is not due.", rotation.ClientID)
			}
			return err
		}
	} else if _, err := api.Rotate(ctx, rotation); err != nil {
		return err
	}
	keys, err := api.Keys(ctx, rotation.ClientID)
	if err != nil {
		return err
	}
	return a.printKeys(rotation.ClientID, keys)
}

// rehearseRotation says what a rotation would do.
func (a *admin) rehearseRotation(ctx context.Context, api *selfservice.Client, clientID, file string) error {
	keys, err := api.Keys(ctx, clientID)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.console.Object(map[string]any{"dry_run": true, "client_id": clientID, "keys": len(keys), "key_file": file})
	}
	a.console.Print("Would make a key, register it beside the %d of %s, prove it by a token request,", len(keys), clientID)
	a.console.Print("put it in %q, wait, and remove the one that is in the file now.", file)
	return nil
}

func (a *admin) keysRemoveCommand() *cobra.Command {
	return a.takes(&cobra.Command{
		Use: "remove CLIENT-ID KID", Short: "Remove a key from a client",
		Example: "  maskinporten keys remove CLIENT-ID 0b1f6a52-…",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.confirm("Remove the key %s from %s? Programs that sign with it are refused.", args[1], args[0]); err != nil {
				return err
			}
			return a.do(cmd.Context(), func(ctx context.Context, api *selfservice.Client) error {
				keys, err := api.RemoveKey(ctx, args[0], args[1])
				if err != nil {
					return err
				}
				return a.printKeys(args[0], keys)
			})
		},
	})
}
