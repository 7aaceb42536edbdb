// Command makekeystores is the Go part of make-keystores.sh: the certificates, the stores that no tool writes, the table.
package main

import (
	"fmt"
	"os"
)

func main() {
	commands := map[string]func(args []string) error{
		"pki":      func(args []string) error { return makePKI(args[0]) },
		"gopkcs12": func(args []string) error { return encode(args[0], args[1], args[2]) },
		"craft":    func(args []string) error { return craft(args[0], args[1], args[2]) },
		"remedy":   func(args []string) error { return remedy(args[0], args[1]) },
		"manifest": func(args []string) error { return writeManifest(args[0], args[1]) },
	}
	run, ok := commands[os.Args[1]]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such command:", os.Args[1])
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
		os.Exit(1)
	}
}
