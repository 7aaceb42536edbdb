package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

// The whole story of a client: made, given a key, used, renewed, and its key
// listed; then its scopes changed, and its end.
func TestSelfServiceStory(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	s.env["MASKINPORTEN_SELF_SERVICE_URL"] = fake.SelfService().URL()

	s.golden("clients/create-dry-run", s.run("clients", "create", "--name", "Pensjon", "--scope", "skatteetaten:inntekt", "--dry-run"))
	if len(fake.SelfService().Requests()) > 0 {
		t.Error("a dry run called the API")
	}
	file := s.file("integration.json", []byte(`{"integration_type":"maskinporten","client_name":"Pensjon","description":"Inntekt til pensjon",
		"token_endpoint_auth_method":"private_key_jwt","grant_types":["urn:ietf:params:oauth:grant-type:jwt-bearer"],"scopes":["skatteetaten:inntekt"]}`))
	made := s.run("clients", "create", "--file", file)
	s.golden("clients/create", made)
	id := regexp.MustCompile(`[0-9a-f-]{36}`).FindString(made.stdout)

	s.golden("keys/rotate-dry-run", s.run("keys", "rotate", id, "--key-file", "client.jwk", "--dry-run"))
	s.golden("keys/rotate-first", s.run("keys", "rotate", id, "--key-file", "client.jwk"))
	key := filepath.Join(s.dir, "client.jwk")
	first, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	s.golden("keys/token", s.run("token", "--client-id", id, "--keystore", key))
	s.golden("keys/rotate", s.run("keys", "rotate", id, "--key-file", "client.jwk", "--grace", "1ms"))
	second, err := os.ReadFile(key)
	if err != nil || string(first) == string(second) {
		t.Errorf("the key file is as it was: %v", err)
	}
	s.golden("keys/list", s.run("keys", "list", id))
	s.golden("keys/list-json", s.run("keys", "list", id, "-o", "json"))
	s.golden("keys/rotate-not-due", s.run("keys", "rotate", id, "--key-file", "client.jwk", "--when-due"))

	another, err := selfservice.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	public := s.file("public.jwk", another.PublicJWK())
	if r := s.run("keys", "register", id, public); r.status != 0 || !strings.Contains(r.stdout, another.KeyID()) {
		t.Errorf("registering a key: %+v", r)
	}
	s.golden("keys/register-private", s.run("keys", "register", id, key))
	if r := s.run("keys", "remove", id, another.KeyID()); r.status != 0 || strings.Contains(r.stdout, another.KeyID()) {
		t.Errorf("removing a key: %+v", r)
	}
	s.golden("keys/remove-unknown", s.run("keys", "remove", id, "nobody"))

	s.golden("clients/scopes-add", s.run("clients", "scopes", "add", id, "skatteetaten:inntektsmottakere"))
	s.golden("clients/scopes-remove", s.run("clients", "scopes", "remove", id, "skatteetaten:inntektsmottakere"))
	s.golden("clients/deactivate-dry-run", s.run("clients", "deactivate", id, "--dry-run", "-o", "json"))
	s.golden("clients/deactivate", s.run("clients", "deactivate", id))
	s.golden("clients/show", s.run("clients", "show", id))
	s.golden("clients/unknown", s.run("clients", "show", "nobody"))

	var list struct {
		Integrations []map[string]any `json:"integrations"`
	}
	if err := json.Unmarshal([]byte(s.run("clients", "list", "--inactive", "-o", "json").stdout), &list); err != nil || len(list.Integrations) != 2 {
		t.Errorf("%d integrations, %v", len(list.Integrations), err)
	}
}

// The step self-service reads how the client is registered, as an admin.
func TestDoctorSelfService(t *testing.T) {
	s := newSetup(t)
	fake := s.fakeServer()
	s.client(fake.WellKnownURL(), maskinportentest.Certificate{})
	var variables strings.Builder
	for _, name := range []string{"WELL_KNOWN_URL", "CLIENT_ID", "KEYSTORE_PATH", "KEYSTORE_PASSWORD"} {
		variables.WriteString("MASKINPORTEN_" + name + "=" + s.env["MASKINPORTEN_"+name] + "\n")
	}
	variables.WriteString("MASKINPORTEN_SELF_SERVICE_URL=" + fake.SelfService().URL() + "\n")
	admin := s.file("admin.env", []byte(variables.String()))

	s.env["MASKINPORTEN_SELF_SERVICE_URL"] = fake.SelfService().URL()
	made := s.run("clients", "create", "--name", "Pensjon", "--scope", "skatteetaten:inntekt")
	id := regexp.MustCompile(`[0-9a-f-]{36}`).FindString(made.stdout)
	if r := s.run("keys", "rotate", id, "--key-file", "client.jwk"); r.status != 0 {
		t.Fatalf("%+v", r)
	}
	for _, name := range []string{"KEYSTORE_PASSWORD", "SELF_SERVICE_URL"} {
		delete(s.env, "MASKINPORTEN_"+name)
	}
	s.env["MASKINPORTEN_CLIENT_ID"], s.env["MASKINPORTEN_KEYSTORE_PATH"] = id, filepath.Join(s.dir, "client.jwk")

	step := func(args ...string) (status, summary string, exit int) {
		t.Helper()
		r := s.run(append([]string{"doctor", "-o", "json", "--admin-env-file", admin}, args...)...)
		var report struct {
			Steps []struct{ ID, Status, Summary string }
		}
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
			t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
		}
		for _, s := range report.Steps {
			if s.ID == "self-service" {
				return s.Status, s.Summary, r.status
			}
		}
		t.Fatal("there is no step self-service")
		return "", "", 0
	}
	if status, summary, exit := step(); status != "ok" || exit != 0 || !strings.Contains(summary, "days left") {
		t.Errorf("%s: %s (exit status %d)", status, summary, exit)
	}
	if status, summary, _ := step("--scope", "nav:aareg/v1/arbeidsforhold/otp"); status != "failed" || !strings.Contains(summary, "is not on the client") {
		t.Errorf("%s: %s", status, summary)
	}
	if status, summary, exit := step("--kid", "another"); status != "failed" || !strings.Contains(summary, `"another" is not registered`) || exit != 3 {
		t.Errorf("%s: %s (exit status %d)", status, summary, exit)
	}
	fake.SelfService().Fail(maskinportentest.Fault{Status: 500})
	if status, _, exit := step(); status != "failed" || exit != 4 {
		t.Errorf("%s (exit status %d)", status, exit)
	}
}
