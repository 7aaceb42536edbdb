package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/console"
	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/inspect"
	"github.com/maskinporten-go/maskinporten/resourceserver"
)

func (t *tool) inspectCommand() *cobra.Command {
	var (
		passwordFiles []string
		verify        bool
	)
	cmd := &cobra.Command{
		Use:   "inspect FILE…|-",
		Short: "Say what is in a keystore, a certificate, a key, a token or an assertion",
		Long: `inspect says what is in files, by their content: PKCS#12, PEM, certificates in DER, PKCS#7 chains, JWKs and sets of them,
access tokens and assertions. It prints nothing secret. For keystores it says whether Maskinporten takes them and why not;
given the two or three files of an issuer together, which one to use. For an assertion each claim is held against Digdir's rules.

The password of keystores is read from --password-file, which may be repeated (each is tried), and otherwise from
MASKINPORTEN_KEYSTORE_PASSWORD.`,
		Example: `  maskinporten inspect --password-file password.txt auth.p12 sign.p12 enc.p12
  maskinporten token --scope skatteetaten:inntekt | maskinporten inspect --verify --env test -
  pbpaste | maskinporten inspect -o json -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			return t.inspect(cmd.Context(), files, passwordFiles, verify)
		},
	}
	cmd.Flags().StringArrayVar(&passwordFiles, "password-file", nil, "`FILE` with a keystore's password; - for standard input")
	cmd.Flags().BoolVar(&verify, "verify", false, "verify an access token by the environment's keys")
	cmd.Flags().StringVar(&t.flags.Environment, "env", "", "`prod|test|URL`: the environment for --verify")
	return cmd
}

// inspectResult is what inspect prints as JSON.
type inspectResult struct {
	Files []inspect.File `json:"files"`
	Use   string         `json:"use"` // the file to use, of several keystores
	Why   string         `json:"why"`
}

func (t *tool) inspect(ctx context.Context, files, passwordFiles []string, verify bool) error {
	passwords, err := t.passwords(passwordFiles, files)
	if err != nil {
		return err
	}
	var result inspectResult
	status := exitDone
	for _, file := range files {
		data, err := readInput(file)
		if err != nil {
			return err
		}
		t.console.Progress("opening %s …", file)
		found := inspect.Look(file, data, passwords, time.Now())
		t.console.Progress("")
		if !found.Verdict.Opened {
			status = exitLocal
		}
		if verify && found.Kind == inspect.AccessToken {
			if status, err = t.verifyToken(ctx, &found); err != nil {
				return err
			}
		}
		result.Files = append(result.Files, found)
		if !t.console.JSON {
			t.printFile(found)
		}
	}
	result.Use, result.Why = inspect.BestOf(result.Files)
	switch {
	case t.console.JSON:
		if err := t.console.Object(result); err != nil {
			return err
		}
	case result.Why != "":
		t.console.Print("%s", strings.TrimSpace(t.console.Styled(console.Bold, result.Use+": ")+result.Why))
	}
	if status != exitDone {
		return exitError(status)
	}
	return nil
}

// passwords are those to try.
func (t *tool) passwords(files, inputs []string) (passwords []string, err error) {
	for _, file := range files {
		if file == "-" {
			for _, input := range inputs {
				if input == "-" {
					return nil, usageError{errors.New("standard input cannot be both the file and its password")}
				}
			}
			password, err := t.console.ReadPassword()
			if err != nil {
				return nil, err
			}
			passwords = append(passwords, password)
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		passwords = append(passwords, strings.TrimRight(string(data), "\r\n"))
	}
	if len(files) == 0 {
		if path := os.Getenv("MASKINPORTEN_KEYSTORE_PASSWORD_FILE"); path != "" {
			return t.passwords([]string{path}, inputs)
		}
		if password := os.Getenv("MASKINPORTEN_KEYSTORE_PASSWORD"); password != "" {
			return []string{password}, nil
		}
	}
	return passwords, nil
}

// verifyToken adds to the verdict what a resource server would say.
func (t *tool) verifyToken(ctx context.Context, f *inspect.File) (status int, err error) {
	settings, err := t.settings()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, attempts*t.timeout)
	defer cancel()
	env, err := settings.DiscoveredEnvironment(ctx)
	if err != nil {
		return 0, err
	}
	verifier, err := resourceserver.NewVerifier(env, nil)
	if err != nil {
		return 0, err
	}
	_, err = verifier.Verify(ctx, f.Token)
	good := err == nil
	switch {
	case good:
		f.Verdict.Text = strings.TrimSuffix(f.Verdict.Text, "; its signature was not verified (--verify does)") + "; verified by the keys of " + env.JWKSURL
	case !errors.Is(err, resourceserver.ErrTokenInvalid):
		return 0, err // the keys did not come
	default:
		f.Verdict.OK, f.Verdict.Text = false, strings.TrimPrefix(err.Error(), "maskinporten: ")
		status = exitLocal
	}
	f.Verified = &good
	return status, nil
}

func (t *tool) printFile(f inspect.File) {
	name := filepath.Base(f.File)
	if f.File == "-" {
		name = "standard input"
	}
	t.console.Print("%s: %s", t.console.Styled(console.Bold, name), inspect.Names[f.Kind])
	if f.Kind == inspect.PKCS12 {
		t.row("MAC", orNone(f.MAC))
		t.row("encryption", orNone(strings.Join(f.Encryption, "; ")))
	}
	t.printTable(inspected(f))
	for _, c := range f.Claims {
		value := c.Value
		if c.Problem != "" {
			value = strings.TrimSpace(value + " — " + c.Problem)
		}
		if !c.OK {
			value = t.console.Styled(console.Red, value)
		}
		t.row(c.Name, value)
	}
	style := console.Yellow
	if f.Verdict.OK {
		style = console.Green
	}
	t.console.Print("  → %s\n", t.console.Styled(style, f.Verdict.Text))
}

// inspected is the table of what is in a file: a row for each key and each
// certificate, and below it what is too long for a column.
func inspected(f inspect.File) table {
	name, encrypted := "friendlyName", len(f.Encryption) > 1
	if f.Kind == inspect.JWK || f.Kind == inspect.JWKSet {
		name = "kid"
	}
	made := table{titles: []string{"entry", name, "organisation", "env", "valid from", "until", "days", "use", "alg", "encryption", "Key Usage"}}
	for i, k := range f.Keys {
		r := row{cells: []string{keyTitle(i, k), k.Name, "", "", "", k.Expires, "", k.Use, k.Alg, cipher(k.Encryption, encrypted), ""}}
		if len(f.Keys) > 1 || !strings.Contains(f.Verdict.Text, k.Problem) {
			r.below = [][2]string{{"not usable", k.Problem}}
		}
		made.rows = append(made.rows, r)
	}
	for _, c := range f.Certificates {
		title, days, serial := c.Role, strconv.Itoa(c.Days), ""
		if c.OfKey > 0 {
			title += fmt.Sprintf(" of key %d", c.OfKey)
		}
		if c.Days < 0 {
			days = "expired"
		}
		if c.Role == "leaf" {
			serial = c.Serial
		}
		made.rows = append(made.rows, row{
			cells: []string{title, c.Name, c.OrgNumber, c.Environment, c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), days,
				"", "", cipher(c.Encryption, encrypted), c.KeyUsage},
			below: [][2]string{{"subject", c.Subject}, {"issuer", c.Issuer}, {"serial", serial}},
		})
	}
	return made
}

func keyTitle(i int, k inspect.Key) string {
	title := fmt.Sprintf("key %d, %s", i+1, k.Type)
	if k.Bits > 0 {
		title += fmt.Sprintf(" %d", k.Bits)
	}
	if !k.Private {
		title += ", public"
	}
	return title
}

// cipher is the encryption of one key or certificate, if others in the file have
// another. The number of iterations stands above the table.
func cipher(encryption string, several bool) string {
	name, _, _ := strings.Cut(encryption, ",")
	switch {
	case !several:
		return ""
	case name == "":
		return "none"
	}
	return name
}

// row prints a name and a value; nothing without a value.
func (t *tool) row(name, value string) {
	if value != "" {
		t.console.Print("  %s %s", pad(name, 14), value)
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
