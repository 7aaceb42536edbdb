package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// store is one line of the table. See the README that writeManifest makes.
type store struct {
	File     string `json:"file"`
	Tool     string `json:"tool"`
	Command  string `json:"command"`
	Password string `json:"password"`
	OpenSSL  bool   `json:"openssl"` // whether `openssl pkcs12 -legacy` opens it
	Outcome  string `json:"outcome"` // "loads", or what the error says

	// Remedy is the command in the error, and Remedied the file in keystores/remedied that it made.
	Remedy   string `json:"remedy,omitempty"`
	Remedied string `json:"remedied,omitempty"`
}

// writeManifest turns what make-keystores.sh noted down, a line of fields separated by tabs for each store, into
// keystores.json and README.md in dir.
func writeManifest(notes, dir string) error {
	text, err := os.ReadFile(notes)
	if err != nil {
		return err
	}
	var stores []store
	versions := ""
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if f[0] == "version" {
			versions += fmt.Sprintf("- %s\n", f[1])
			continue
		}
		stores = append(stores, store{File: f[0], Tool: f[1], Password: f[2], Outcome: f[3], OpenSSL: f[4] == "opens", Command: f[5], Remedy: f[6], Remedied: f[7]})
	}
	b, err := json.MarshalIndent(stores, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "keystores.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}

	var md strings.Builder
	fmt.Fprintf(&md, `# Keystores

%d stores in [keystores](keystores), made by [make-keystores.sh](make-keystores.sh) with the tools below and checked in, so that the
tests need none of them. This table is made with them; [keystores.json](keystores.json) is the same for programs, and the tests of
`+"`internal/p12` and `internal/keystore` hold every line of it to be true (`go test ./internal/keystore -slow` loads all, also those with\n600,000 iterations)."+`

*openssl* says whether `+"`openssl pkcs12 -legacy`"+` opens the store with the password (a foreign keystore it does not, nor a password that
only the other tool understands). *Outcome* is what LoadPKCS12 does: the store loads, or the error named.
Where the error prints a command that mends it, the script has run that very command; what it made is in
[keystores/remedied](keystores/remedied), and the tests load it.
The commands run in a directory with the certificates and keys of [keystores/pki](keystores/pki).

`, len(stores))
	md.WriteString(versions)
	md.WriteString("\n| store | tool | password | openssl | outcome | made by |\n|---|---|---|---|---|---|\n")
	for _, s := range stores {
		opens := "no"
		if s.OpenSSL {
			opens = "yes"
		}
		password := "`" + s.Password + "`"
		if s.Password == "" {
			password = "(empty)"
		}
		command := "`" + strings.ReplaceAll(s.Command, "|", `\|`) + "`"
		if s.Remedy != "" {
			command += "<br>mended by `" + s.Remedy + "`"
		}
		fmt.Fprintf(&md, "| %s | %s | %s | %s | %s | %s |\n", s.File, s.Tool, password, opens, s.Outcome, command)
	}
	md.WriteString(`
[keystores/odd](keystores/odd) has files as people have them: PEM in UTF-16, with ` + "`\\n`" + ` for line breaks, joined, cut off, or with a key that is
encrypted in one of many ways; a JWK without primes; a set of a key and its public half; certificates that crypto/x509 does not parse.
[keystores/kinds](keystores/kinds) has keys of other kinds than RSA, made with ` + "`openssl genpkey`" + `.
`)
	return os.WriteFile(filepath.Join(dir, "README.md"), []byte(md.String()), 0o644)
}
