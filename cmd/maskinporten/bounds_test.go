package main

import (
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// The bounds that the tool keeps to. Times are the processor's and not the
// clock's, for machines are busy and answers are waited for; the least of
// several runs counts.
const (
	maxSize       = 12_000_000
	maxHelpTime   = 30 * time.Millisecond
	maxDoctorTime = 300 * time.Millisecond
)

func TestSize(t *testing.T) {
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > maxSize {
		t.Errorf("the binary has %d bytes, and %d are the most", info.Size(), maxSize)
	}
}

// processorTime is the least that a run took.
func (s *setup) processorTime(args ...string) (least time.Duration) {
	s.t.Helper()
	for range 5 {
		cmd := exec.Command(binary, args...)
		for name, value := range s.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		if err := cmd.Run(); err != nil {
			s.t.Fatal(err)
		}
		if took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); least == 0 || took < least {
			least = took
		}
	}
	s.t.Logf("%v: %v", args, least)
	return least
}

func TestHelpTime(t *testing.T) {
	if least := newSetup(t).processorTime("--help"); least > maxHelpTime {
		t.Errorf("--help took %v, and %v is the most", least, maxHelpTime)
	}
}

func TestDoctorTime(t *testing.T) {
	s := newSetup(t)
	s.client(s.fakeServer().WellKnownURL(), maskinportentest.Certificate{})
	if least := s.processorTime("doctor"); least > maxDoctorTime {
		t.Errorf("doctor took %v, and %v is the most", least, maxDoctorTime)
	}
}

// The tokens of several scopes are asked for side by side: the fake answers none
// before it has been asked for all.
func TestDoctorSideBySide(t *testing.T) {
	const scopes = 4
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	var all sync.WaitGroup
	all.Add(scopes)
	fake.OnGrant(func(maskinportentest.Grant) {
		all.Done()
		all.Wait()
	})
	r := s.run("doctor", "--scope", "a:1", "--scope", "a:2", "--scope", "a:3", "--scope", "a:4", "--timeout", "20s")
	if r.status != 0 {
		t.Errorf("exit status %d:\n%s%s", r.status, r.stdout, r.stderr)
	}
}
