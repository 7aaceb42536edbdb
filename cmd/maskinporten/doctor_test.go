package main

import (
	"encoding/json"
	"testing"

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
