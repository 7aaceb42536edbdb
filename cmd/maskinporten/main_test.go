package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// binary is the tool as it is delivered: the tests drive that, and none of its
// functions.
var binary string

func TestMain(m *testing.M) {
	if how := os.Getenv("TEST_DNS"); how != "" {
		serveDNS(how)
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "maskinporten-tool")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "maskinporten")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// setup is a directory, the variables of a process, and what of its output is
// different each time.
type setup struct {
	t         *testing.T
	dir       string
	env       map[string]string
	different [][2]string // old, new
	stdin     string
	prefix    []string // of the command, such as ip netns exec
}

func newSetup(t *testing.T) *setup {
	s := &setup{t: t, dir: t.TempDir(), env: map[string]string{"PATH": os.Getenv("PATH"), "LANG": "C.UTF-8", "HOME": t.TempDir()}}
	s.replace(s.dir, "$DIR")
	return s
}

// replace has a text that is another in each run shown as name.
func (s *setup) replace(text, name string) {
	if text != "" {
		s.different = append(s.different, [2]string{text, name})
	}
}

// file writes a file that only its owner can read.
func (s *setup) file(name string, content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// client sets the variables of the default client, in the environment whose
// metadata is at url.
func (s *setup) client(url string, c maskinportentest.Certificate) {
	s.t.Helper()
	s.env["MASKINPORTEN_WELL_KNOWN_URL"] = url
	s.env["MASKINPORTEN_CLIENT_ID"] = maskinportentest.DefaultClientID
	s.env["MASKINPORTEN_KEYSTORE_PATH"] = s.file("keystore.p12", c.PKCS12("secret-password"))
	s.env["MASKINPORTEN_KEYSTORE_PASSWORD"] = "secret-password"
	s.env["MASKINPORTEN_SCOPES"] = "skatteetaten:inntekt"
}

// result is what a run printed.
type result struct {
	stdout, stderr string
	status         int
}

func (s *setup) run(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	command := append(append(s.prefix, binary), args...)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = s.dir
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(s.stdin), &stdout, &stderr
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		s.t.Fatalf("running %v: %v", args, err)
	}
	r := result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	for _, secret := range []string{"secret-password", "PRIVATE KEY"} {
		if strings.Contains(r.stdout+r.stderr, secret) {
			s.t.Errorf("%v: %q was printed:\n%s%s", args, secret, r.stdout, r.stderr)
		}
	}
	return r
}

// varying are the parts of output that are others in each run, whatever was
// set up.
var varying = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`), "eyJ…"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d(T[\d:]+(\.\d+)?Z)?`), "2026-01-01"},
	{regexp.MustCompile(`\b\d{10}\b`), "1767225600"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA256"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "0123456789abcdef0123456789abcdef"},
	{regexp.MustCompile(`"serial": "[0-9a-f]+"`), `"serial": "SERIAL"`},
	{regexp.MustCompile(`\bserial( +)[0-9a-f]+\b`), "serial${1}SERIAL"},
	{regexp.MustCompile(`\b2\d{4} days`), "26000 days"},
	{regexp.MustCompile(`(2026-01-01  )2\d{4} `), "${1}26000 "},
	{regexp.MustCompile(`(2026-01-01  |\()[5-9]\d{3}( |$)`), "${1}9000$2"},
	{regexp.MustCompile(`(2026-01-01  )10(94|95|96) `), "${1}1095 "},
	{regexp.MustCompile(`"days_left": 2\d{4}`), `"days_left": 26000`},
	{regexp.MustCompile(`lives for (1m5\ds|2m0s) more`), "lives for 2m0s more"},
	{regexp.MustCompile(`fake-\d-[0-9a-f]{8}`), "fake-1"},
	{regexp.MustCompile(`\b\d+ ms`), "1 ms"},
	{regexp.MustCompile(`"ms": \d+`), `"ms": 1`},
	{regexp.MustCompile(`"skew_seconds": -?[\d.]+`), `"skew_seconds": 0`},
	{regexp.MustCompile(`\b10(94|95|96) days`), "1095 days"},
	{regexp.MustCompile(`"days_left": 10(94|95|96)`), `"days_left": 1095`},
	{regexp.MustCompile(`\b(118|119|120) seconds`), "120 seconds"},
	{regexp.MustCompile(`"expires_in": (118|119|120)`), `"expires_in": 120`},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`), "00000000-0000-4000-8000-000000000000"},
}

// text is output in which nothing is different each time.
func (s *setup) text(output string) string {
	for _, d := range s.different {
		output = strings.ReplaceAll(output, d[0], d[1])
	}
	for _, v := range varying {
		output = v.pattern.ReplaceAllString(output, v.name)
	}
	return output
}

// golden compares a run with testdata/name.golden: the exit status, and both
// outputs.
func (s *setup) golden(name string, r result) {
	s.t.Helper()
	got := fmt.Sprintf("exit status %d\n--- stdout\n%s", r.status, s.text(r.stdout))
	if r.stderr != "" {
		got += "--- stderr\n" + s.text(r.stderr)
	}
	path := filepath.Join("testdata", filepath.FromSlash(name)+".golden")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if got != string(want) {
		s.t.Errorf("%s:\ngot:\n%s\nwant:\n%s", name, got, want)
	}
}

// fakeServer is a healthy Maskinporten on a loopback address.
func (s *setup) fakeServer() *maskinportentest.Fake {
	fake := maskinportentest.NewServer()
	s.t.Cleanup(fake.Close)
	s.replace(strings.TrimSuffix(fake.Environment().Issuer, "/"), "$FAKE")
	address := strings.TrimSuffix(strings.TrimPrefix(fake.Environment().Issuer, "http://"), "/")
	s.replace(address, "$FAKE_ADDRESS")
	_, port, _ := strings.Cut(address, ":")
	s.replace(port, "$PORT")
	return fake
}

var (
	jwkNumbers = regexp.MustCompile(`"(n|d|p|q|dp|dq|qi)":"[\w-]+"`)
	clockTime  = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d `)
)
