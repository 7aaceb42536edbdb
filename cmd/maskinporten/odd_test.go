package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// start runs the tool with an output and an input of the test's own.
func (s *setup) start(stdin, stdout *os.File, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	s.t.Helper()
	cmd, stderr = exec.Command(binary, args...), new(bytes.Buffer)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.dir, stdin, stdout, stderr
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, stderr
}

// What could not be written is no success, and long work ends.
func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	defer full.Close()
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	s.file("customers.txt", []byte(strings.Join(orgNumbers(500), "\n")))
	for _, args := range [][]string{
		{"token"}, {"token", "-o", "json"}, {"version"}, {"doctor", "--offline"},
		{"delegations", "-f", "customers.txt"}, {"delegations", "-f", "customers.txt", "-o", "json"},
	} {
		cmd, stderr := s.start(nil, full, args...)
		cmd.Wait()
		if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%v: exit status %d: %s", args, cmd.ProcessState.ExitCode(), stderr)
		}
	}
	if n := fake.TokenRequests(); n > 100 {
		t.Errorf("%d requests for answers that nobody sees", n)
	}
}

// An interrupt ends a command that waits for its input.
func TestInterruptWhileReading(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no interrupt can be sent there")
	}
	s := newSetup(t)
	s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
	for _, args := range [][]string{{"inspect", "-"}, {"token", "--password-file", "-"}, {"delegations", "-f", "-"}} {
		in, hold, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd, stderr := s.start(in, nil, args...)
		in.Close()
		hold.Write(make([]byte, 128<<10)) // more than a pipe holds: it is being read
		cmd.Process.Signal(os.Interrupt)
		stuck := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		stuck.Stop()
		hold.Close()
		if status := cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(stderr.String(), "interrupted") {
			t.Errorf("%v: exit status %d: %s", args, status, stderr)
		}
	}
}

// A key that was named for a list of customers is not shown line by line.
func TestNoListOfCustomers(t *testing.T) {
	s := newSetup(t)
	s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
	key, err := os.ReadFile(filepath.Join("..", "..", "testdata", "keystores", "pki", "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{key, []byte(key[28:]), {0, 1, 2, 0xff, '\n', 0x1b, '['}} {
		r := s.run("delegations", "-f", s.file("customers.txt", content))
		if r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "no list of customers") || strings.Contains(r.stderr, string(key[40:60])) {
			t.Errorf("exit status %d\n%s%s", r.status, r.stdout, r.stderr)
		}
	}
	s.file("customers.txt", []byte("orgnr;navn\n974760673;NAV\n"))
	if r := s.run("delegations", "-f", "customers.txt"); !strings.Contains(r.stdout, "974760673  skatteetaten:inntekt  delegated") {
		t.Errorf("with a heading: %s%s", r.stdout, r.stderr)
	}
}

// Files are read as PowerShell, spreadsheets and others write them.
func TestFilesOfOtherSystems(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	utf16le := func(text string) []byte {
		data := []byte{0xff, 0xfe}
		for _, c := range []byte(text) {
			data = append(data, c, 0)
		}
		return data
	}
	for name, content := range map[string][]byte{
		"UTF-16": utf16le("974760673\r\n313367002\r\n"), "lines end with CR": []byte("974760673\r313367002\r"),
		"words": []byte("974760673 NAV\n313 367 002\n"), "quoted": []byte("\"974760673\",\"NAV\"\n\"313367002\",\"x\"\n"),
	} {
		if r := s.run("delegations", "-f", s.file("customers.txt", content)); !strings.Contains(r.stdout, "2 delegated") {
			t.Errorf("%s: %s%s", name, r.stdout, r.stderr)
		}
	}
	before := s.run("delegations", "974760673", "-o", "json")
	asked := fake.TokenRequests()
	s.file("before", utf16le(before.stdout))
	if r := s.run("delegations", "974760673", "--resume", "before"); r.status != 0 || fake.TokenRequests() != asked {
		t.Errorf("%d requests: %s", fake.TokenRequests()-asked, r.stderr)
	}
	if r := s.run("token", "--env-file", s.file("x.env", utf16le("MASKINPORTEN_CLIENT_ID=of-file\r\n"))); !strings.Contains(r.stderr, "of-file") {
		t.Errorf("%+v", r)
	}
}

// Output that goes on in the file of before leaves the line that was cut off to
// itself: the customer after it is not lost.
func TestResumeInTheSameFile(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	path := s.file("result", []byte(`{"consumer_org":"974760673","scope":"skattee`))
	for run := range 2 {
		out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		cmd, stderr := s.start(nil, out, "delegations", "974760673", "-o", "json", "--resume", "result")
		if err := cmd.Wait(); err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		out.Close()
		if n := fake.TokenRequests(); n != 1 {
			t.Errorf("run %d: %d requests, want one for both", run, n)
		}
	}
	data, _ := os.ReadFile(path)
	if lines := strings.Split(string(data), "\n"); len(lines) != 5 || !json.Valid([]byte(lines[1])) {
		t.Errorf("%s", data)
	}
}

// A mistake on this machine is none of the network's.
func TestMistakesOnThisMachine(t *testing.T) {
	s := newSetup(t)
	taken := strings.TrimSuffix(strings.TrimPrefix(s.fakeServer().Environment().Issuer, "http://"), "/")
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"fake", "--listen", taken}, 1, "--listen"},
		{[]string{"fake", "--listen", "8085"}, 1, "--listen"},
		{[]string{"token", "--env-file", "none.env"}, 1, "the file of variables: open none.env"},
		{[]string{"doctor", "--admin-env-file", "none.env"}, 1, "the file of variables: open none.env"},
		{[]string{"clients", "show"}, 2, "do not fit `maskinporten clients show CLIENT-ID [flags]`"},
		{[]string{"token", "skatteetaten:inntekt"}, 2, "do not fit `maskinporten token [flags]`"},
		{[]string{"keys", "new", "--out", filepath.Join("none", "key.jwk")}, 1, "the folder of " + filepath.Join("none", "key.jwk")},
	} {
		if r := s.run(c.args...); r.status != c.status || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%v: exit status %d: %s", c.args, r.status, r.stderr)
		}
	}
}
