package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// onTerminal runs the tool on a pseudo-terminal and returns what a person would
// have seen. What is typed is sent as soon as the tool has printed prompt.
func (s *setup) onTerminal(prompt, typed string, args ...string) (screen string, status int) {
	s.t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Skipf("no pseudo-terminal is to be had: %v", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		s.t.Skipf("no pseudo-terminal is to be had: %v", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		s.t.Skipf("no pseudo-terminal is to be had: %v", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		s.t.Skipf("no pseudo-terminal is to be had: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = s.dir
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	slave.Close()
	var seen bytes.Buffer
	buffer := make([]byte, 4096)
	for {
		n, err := master.Read(buffer) // an error when the last one has closed the terminal
		seen.Write(buffer[:n])
		if prompt != "" && strings.Contains(seen.String(), prompt) {
			for echoes(master) && ctx.Err() == nil { // a person is not as quick as this
				runtime.Gosched()
			}
			io.WriteString(master, typed)
			prompt = ""
		}
		if err != nil {
			break
		}
	}
	cmd.Wait()
	return strings.ReplaceAll(seen.String(), "\r\n", "\n"), cmd.ProcessState.ExitCode()
}

// echoes reports whether a terminal shows what is typed.
func echoes(terminal *os.File) bool {
	modes, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	return err == nil && modes.Lflag&unix.ECHO != 0
}

// progress is what is shown while a step is waited for, until it is taken away.
var progress = regexp.MustCompile(`\r\x1b\[K[^\r\n]*\r\x1b\[K`)

func TestTerminal(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	fake.WithdrawAccess("skatteetaten:inntekt", maskinportentest.DefaultOrgNumber)
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	for _, c := range []struct {
		name string
		env  map[string]string
		args []string
	}{
		{"colour", nil, nil},
		{"no-color", map[string]string{"NO_COLOR": "1"}, nil},
		{"ascii", nil, []string{"--ascii"}},
		{"locale", map[string]string{"LANG": "C"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := *s
			one.t = t
			one.env = map[string]string{}
			for _, variables := range []map[string]string{s.env, c.env} {
				for name, value := range variables {
					one.env[name] = value
				}
			}
			screen, status := one.onTerminal("", "", append([]string{"doctor"}, c.args...)...)
			if coloured := strings.Contains(screen, "\x1b[3"); coloured == (c.name == "no-color") {
				t.Errorf("colour: %v", coloured)
			}
			if ascii := strings.IndexFunc(screen, func(r rune) bool { return r > 127 }) < 0; ascii != (c.name == "ascii" || c.name == "locale") {
				t.Errorf("nothing but ASCII: %v", ascii)
			}
			one.golden("terminal/"+c.name, result{stdout: progress.ReplaceAllString(screen, ""), status: status})
		})
	}
}

// A password that is typed is not seen.
func TestTypedPassword(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	delete(s.env, "MASKINPORTEN_KEYSTORE_PASSWORD")
	screen, status := s.onTerminal("Password: ", "secret-password\n", "doctor", "--password-file", "-")
	if status != 0 || strings.Contains(screen, "secret-password") {
		t.Errorf("exit status %d:\n%s", status, screen)
	}
}

// Long work shows how far it has come, and leaves nothing of that behind.
func TestProgress(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	screen, status := s.onTerminal("", "", append([]string{"delegations"}, orgNumbers(20)...)...)
	if status != 0 || !strings.Contains(screen, "\r\x1b[K19 of 20 …") {
		t.Errorf("exit status %d, no progress:\n%q", status, screen)
	}
	if lines := strings.Split(screen, "\n"); !strings.HasSuffix(lines[len(lines)-2], "20 delegated, 0 not delegated, 0 not granted, 0 not known") {
		t.Errorf("the summary is not last:\n%q", screen)
	}
}
