package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

type report struct {
	OK    bool
	Steps []struct {
		ID, Status, Summary, Remedy string
		Details                     map[string]any
	}
}

// doctor runs `doctor -o json` and returns what it found.
func (s *setup) doctor(args ...string) (report, int) {
	s.t.Helper()
	r := s.run(append([]string{"doctor", "-o", "json"}, args...)...)
	var found report
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil {
		s.t.Fatalf("%v\n%s%s", err, r.stdout, r.stderr)
	}
	return found, r.status
}

func TestDoctorHealthy(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	s.golden("doctor/healthy.text", s.run("doctor"))
	s.golden("doctor/healthy.json", s.run("doctor", "-o", "json"))
	s.golden("doctor/offline.text", s.run("doctor", "--offline"))
}

// warnings are what is odd, and does not keep tokens from coming.
func TestDoctorWarnings(t *testing.T) {
	for _, c := range []struct {
		reason string
		setUp  func(s *setup) []string
		step   string
		seen   string
	}{
		{"a variable that nothing reads", func(s *setup) []string {
			s.env["MASKINPORTEN_CLIENTID"] = "x"
			return nil
		}, "config", "nothing reads MASKINPORTEN_CLIENTID"},
		{"quotation marks in an env file", func(s *setup) []string {
			return []string{"--env-file", s.file("x.env", []byte("# docker's form\r\nMASKINPORTEN_RESERVED=\"x\"\r\nPATH=x\r\n"))}
		}, "config", "begins and ends with quotation marks"},
		{"a keystore for everybody", func(s *setup) []string {
			if runtime.GOOS == "windows" {
				s.t.Skip("a mode says nothing there")
			}
			os.Chmod(s.env["MASKINPORTEN_KEYSTORE_PATH"], 0o644)
			return nil
		}, "keystore", "anybody on this machine may read"},
		{"a certificate that expires soon", func(s *setup) []string {
			s.file("keystore.p12", maskinportentest.Certificate{NotBefore: time.Now().AddDate(-3, 0, 0), NotAfter: time.Now().AddDate(0, 0, 20)}.PKCS12("secret-password"))
			return nil
		}, "certificate", "19 days left"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			s := newSetup(t)
			s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
			args := c.setUp(s)
			found, status := s.doctor(args...)
			if status != 0 || !found.OK {
				t.Errorf("exit status %d: %+v", status, found)
			}
			for _, step := range found.Steps {
				if step.ID == c.step && (step.Status != "warning" || !strings.Contains(step.Summary, c.seen) || step.Remedy == "") {
					t.Errorf("%+v", step)
				}
			}
			if _, status := s.doctor(append(args, "--fail-on", "warning")...); status != 1 {
				t.Errorf("--fail-on warning: exit status %d", status)
			}
		})
	}
}

// A supplier's own organisation needs no access to what its customers delegate.
func TestDoctorForSupplier(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	fake.GrantAccess("skatteetaten:inntekt", "974760673")
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	s.golden("doctor/supplier.text", s.run("doctor", "--consumer-org", "974760673"))
}

// What fails in the first step does not keep the others from being looked at.
func TestDoctorGoesOn(t *testing.T) {
	s := newSetup(t)
	s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
	s.env["MASKINPORTEN_KEYSTORE_PASSWORD"] = "wrong"
	s.golden("doctor/wrong-password.text", s.run("doctor"))
}

// An env file comes before the environment, and a flag before both.
func TestOrderOfSettings(t *testing.T) {
	s := newSetup(t)
	s.env["MASKINPORTEN_CLIENT_ID"] = "of-environment"
	file := s.file("x.env", []byte("MASKINPORTEN_CLIENT_ID=of-file\nMASKINPORTEN_ENV=test\n"))
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "of-environment"},
		{[]string{"--env-file", file}, "of-file"},
		{[]string{"--env-file", file, "--client-id", "of-flag"}, "of-flag"},
	} {
		found, _ := s.doctor(append(c.args, "--offline")...)
		variables := found.Steps[0].Details["variables"].([]any)
		for _, v := range variables {
			if v := v.(map[string]any); v["name"] == "MASKINPORTEN_CLIENT_ID" && v["value"] != c.want {
				t.Errorf("%v: %v, want %s", c.args, v, c.want)
			}
		}
	}
}

// A file that is no env file is refused without showing what is in it.
func TestBadEnvFile(t *testing.T) {
	s := newSetup(t)
	for _, content := range []string{"export MASKINPORTEN_ENV=test\n", "MASKINPORTEN_KEYSTORE_PASSWORD=x\nsecret-password continues\n"} {
		if r := s.run("token", "--env-file", s.file("x.env", []byte(content))); r.status != 1 || !strings.Contains(r.stderr, "not NAME=value") {
			t.Errorf("%q: %+v", content, r)
		}
	}
}
