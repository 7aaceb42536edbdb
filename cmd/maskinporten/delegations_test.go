package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// lines is output in an order of its own, for customers are answered for as
// their answers come; the summary stays last.
func (r result) lines() result {
	lines := strings.Split(strings.TrimSuffix(r.stdout, "\n"), "\n")
	slices.Sort(lines[:len(lines)-1])
	r.stdout = strings.Join(lines, "\n") + "\n"
	return r
}

func TestDelegations(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	fake.Undelegate("skatteetaten:inntekt", "313367002", maskinportentest.DefaultOrgNumber)
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	s.file("customers.txt", []byte("\xef\xbb\xbf# customers\r\n974760673;NAV\r\n313367002;somebody\r\n123456789\r\n974760673\r\n\r\n"))
	s.golden("delegations/text", s.run("delegations", "-f", "customers.txt").lines())
	s.golden("delegations/json", s.run("delegations", "-f", "customers.txt", "-o", "json").lines())
	if r := s.run("delegations", "974760673", "313367002"); r.status != 0 {
		t.Errorf("exit status %d, though each was answered for: %s", r.status, r.stderr)
	}
}

// What has been answered is not asked for again, wherever the output ended.
func TestDelegationsResume(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	for _, output := range []string{"text", "json"} {
		first := s.run("delegations", "974760673", "313367002", "-o", output)
		cut := first.stdout[:strings.Index(first.stdout, "\n")+5] // in the middle of the second line
		s.file("before", []byte(cut))
		asked := fake.TokenRequests()
		second := s.run("delegations", "974760673", "313367002", "-o", output, "--resume", "before")
		if n := fake.TokenRequests() - asked; n != 1 || second.status != 0 || !strings.Contains(second.stdout, "2") {
			t.Errorf("%s: %d customers asked for, want the one that is missing:\n%s%s", output, n, second.stdout, second.stderr)
		}
	}
}

// A refusal that would meet every customer ends the run.
func TestDelegationsStopsEarly(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	fake.RemoveClient(maskinportentest.DefaultClientID)
	var customers strings.Builder
	for _, org := range orgNumbers(500) {
		fmt.Fprintln(&customers, org)
	}
	s.file("customers.txt", []byte(customers.String()))
	r := s.run("delegations", "-f", "customers.txt", "-o", "json")
	if n := fake.TokenRequests(); r.status != 3 || n > 50 || !strings.Contains(r.stderr, "MP-100") {
		t.Errorf("exit status %d after %d requests: %s", r.status, n, r.stderr)
	}
}

func TestManyDelegations(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	n := 1000
	if testing.Short() {
		n = 100
	}
	var customers strings.Builder
	for i, org := range orgNumbers(n) {
		fmt.Fprintln(&customers, org)
		if i%10 == 0 {
			fake.Undelegate("skatteetaten:inntekt", org, maskinportentest.DefaultOrgNumber)
		}
	}
	s.stdin = customers.String()
	r := s.run("delegations", "-f", "-", "-o", "json")
	lines := strings.Split(strings.TrimSpace(r.stdout), "\n")
	var last struct {
		Summary struct {
			Delegated    int `json:"delegated"`
			NotDelegated int `json:"not_delegated"`
		}
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != n+1 || last.Summary.NotDelegated != n/10 || last.Summary.Delegated != n-n/10 || r.status != 0 {
		t.Errorf("%d lines, %+v, exit status %d, %v: %s", len(lines), last, r.status, err, r.stderr)
	}
}

// orgNumbers are synthetic numbers that pass the check.
func orgNumbers(n int) (numbers []string) {
	weights := []int{3, 2, 7, 6, 5, 4, 3, 2}
	for i := 20000000; len(numbers) < n; i++ {
		digits := fmt.Sprint(i)
		sum := 0
		for j, w := range weights {
			sum += w * int(digits[j]-'0')
		}
		check := (11 - sum%11) % 11
		if check < 10 {
			numbers = append(numbers, digits+fmt.Sprint(check))
		}
	}
	return numbers
}
