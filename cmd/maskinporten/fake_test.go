package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// process is the tool while it runs.
type process struct {
	*setup
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startFake starts `fake` on a free port and waits until it answers.
func (s *setup) startFake(args ...string) *process {
	s.t.Helper()
	p := &process{setup: s, cmd: exec.Command(binary, append([]string{"fake", "--listen", "127.0.0.1:0"}, args...)...)}
	p.cmd.Dir = s.dir
	for name, value := range s.env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout = &p.stdout
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { p.cmd.Process.Kill() })
	lines := bufio.NewReader(pipe)
	announced, err := lines.ReadString('\n')
	if err != nil {
		s.t.Fatalf("it ended: %s%v", announced, p.cmd.Wait())
	}
	io.WriteString(&p.stderr, announced)
	go io.Copy(&p.stderr, lines)
	_, rest, _ := strings.Cut(announced, "answers at ")
	url, _, _ := strings.Cut(rest, ";")
	s.replace(url, "$FAKE")
	_, port, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://"), ":")
	s.replace(port, "$PORT")
	return p
}

// stop ends it as a person does.
func (p *process) stop() result {
	p.t.Helper()
	if runtime.GOOS == "windows" {
		p.cmd.Process.Kill()
	} else {
		p.cmd.Process.Signal(os.Interrupt)
	}
	p.cmd.Wait()
	return result{p.stdout.String(), p.stderr.String(), p.cmd.ProcessState.ExitCode()}
}

// log waits for something to stand in the log.
func (p *process) log(seen string) {
	p.t.Helper()
	for range 1000 {
		if strings.Contains(p.stderr.String(), seen) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.t.Errorf("%q does not stand in the log:\n%s", seen, p.stderr.String())
}

func TestFake(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			s := newSetup(t)
			args := []string{"--write-env", "fake.env"}
			if scheme == "https" {
				args = append(args, "--tls")
			}
			p := s.startFake(args...)
			r := s.run("doctor", "--env-file", "fake.env", "--scope", "skatteetaten:inntekt", "--consumer-org", "974760673")
			if r.status != 0 {
				t.Errorf("doctor: exit status %d\n%s%s", r.status, r.stdout, r.stderr)
			}
			if scheme == "https" {
				s.golden("fake/doctor", r)
			}
			p.log("consumer_org")
			ended := p.stop()
			if ended.status != 0 {
				t.Errorf("exit status %d: %s", ended.status, ended.stderr)
			}
			for _, file := range []string{"fake.env", "fake.env.d/virksomhetssertifikat.p12"} {
				info, err := os.Stat(filepath.Join(s.dir, file))
				if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", file, info, err)
				}
			}
		})
	}
}

// What it prints, with a client that Digdir's pages would not allow everything.
func TestFakeOutput(t *testing.T) {
	s := newSetup(t)
	s.file("fake.json", []byte(`{
  "clients": [{"id": "npm", "org_number": "910753614", "scopes": ["skatteetaten:inntekt"], "keys": [{"id": "npm-key"}]}],
  "undelegated": [{"scope": "skatteetaten:inntekt", "consumer": "313367002", "supplier": "910753614"}],
  "token_lifetime": 60
}`))
	p := s.startFake("--config", "fake.json", "--client-id", "npm", "--write-env", "fake.env", "--strict")
	for _, customer := range []string{"974760673", "313367002"} {
		s.run("token", "--env-file", "fake.env", "--scope", "skatteetaten:inntekt", "--consumer-org", customer)
	}
	p.log("313367002")
	p.log("MP-251")
	ended := p.stop()
	ended.stdout = jwkNumbers.ReplaceAllString(ended.stdout, `"$1":"…"`)
	ended.stderr = clockTime.ReplaceAllString(ended.stderr, "12:00:00 ")
	s.golden("fake/output", ended)
}

// The files of a run that did not ask for them are gone when it ends.
func TestFakeLeavesNothing(t *testing.T) {
	s := newSetup(t)
	s.env["TMPDIR"] = t.TempDir()
	p := s.startFake("-o", "json")
	p.stop()
	if left, _ := os.ReadDir(s.env["TMPDIR"]); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFakeRefusesToStart(t *testing.T) {
	s := newSetup(t)
	s.file("bad.json", []byte(`{"clientz": []}`))
	for _, c := range []struct {
		args   []string
		status int
	}{
		{[]string{"--config", "bad.json"}, 1},
		{[]string{"--config", "none.json"}, 1},
		{[]string{"--client-id", "unknown"}, 1},
		{[]string{"--url", "ftp://x"}, 2},
		{[]string{"--tls", "--url", "http://x"}, 2},
	} {
		if r := s.run(append([]string{"fake", "--listen", "127.0.0.1:0"}, c.args...)...); r.status != c.status || r.stderr == "" {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
}

// A client in another language, from npm, is configured by the variables. CI
// installs it and says where by NODE_PATH.
func TestFakeWithNode(t *testing.T) {
	modules := os.Getenv("NODE_PATH")
	if _, err := os.Stat(filepath.Join(modules, "maskinporten-jwt")); modules == "" || err != nil {
		t.Skip("maskinporten-jwt is not here: npm install maskinporten-jwt, and set NODE_PATH to node_modules")
	}
	script, err := filepath.Abs("testdata/npm/token.cjs")
	if err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"http", "https"} {
		s := newSetup(t)
		s.file("fake.json", []byte(`{"clients": [{"id": "npm", "org_number": "910753614", "keys": [{"id": "npm-key"}]}]}`))
		args := []string{"--config", "fake.json", "--client-id", "npm", "--write-env", "fake.env"}
		if scheme == "https" {
			args = append(args, "--tls")
		}
		p := s.startFake(args...)
		variables, err := os.ReadFile(filepath.Join(s.dir, "fake.env"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("node", script)
		cmd.Env = append(strings.Split(strings.TrimSpace(string(variables)), "\n"), "PATH="+os.Getenv("PATH"), "NODE_PATH="+modules)
		output, err := cmd.CombinedOutput()
		t.Logf("%s: %s", scheme, output)
		if err != nil || !strings.Contains(string(output), `{"token_type":"Bearer","scope":"skatteetaten:inntekt"`) {
			t.Errorf("%s: %v: %s\n%s", scheme, err, output, p.stderr.String())
		}
		// What Digdir's pages do not allow is noted, and let pass.
		p.log("not as Digdir documents it")
		p.stop()
	}
}
