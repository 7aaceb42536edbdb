package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// Each command explains itself, with an example.
func TestHelp(t *testing.T) {
	for _, command := range []string{"", "doctor", "inspect", "token", "delegations", "convert", "keys", "keys new", "keys list", "keys register", "keys rotate", "keys remove",
		"clients", "clients list", "clients show", "clients create", "clients scopes", "clients scopes add", "clients scopes remove", "clients deactivate", "fake", "version"} {
		s := newSetup(t)
		r := s.run(append(strings.Fields(command), "--help")...)
		if r.status != 0 || r.stderr != "" || !strings.Contains(r.stdout, "Examples:") {
			t.Errorf("%s: %+v", command, r)
		}
		s.golden("help/"+strings.ReplaceAll("maskinporten "+command, " ", "-"), r)
	}
	s := newSetup(t)
	if bare := s.run(); bare.status != 0 || bare.stdout != s.run("--help").stdout {
		t.Errorf("without a command: %+v", bare)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := newSetup(t).run("completion", shell); r.status != 0 || !strings.Contains(r.stdout, "maskinporten") {
			t.Errorf("%s: exit status %d: %s", shell, r.status, r.stderr)
		}
	}
	if r := newSetup(t).run("completion", "fihs"); r.status != 2 || r.stdout != "" {
		t.Errorf("an unknown shell: %+v", r)
	}
}

func TestVersion(t *testing.T) {
	s := newSetup(t)
	var version map[string]string
	if err := json.Unmarshal([]byte(s.run("version", "-o", "json").stdout), &version); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"version", "commit", "go", "os", "arch"} {
		if _, ok := version[field]; !ok {
			t.Errorf("no %s: %v", field, version)
		}
		if version[field] != "" {
			s.replace(version[field], strings.ToUpper(field))
		}
	}
	s.golden("version/text", s.run("version"))
}
