package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// network is a network of the tool's own, in which names are those of a file of
// hosts and packets to some addresses vanish: they are sent to the loopback
// interface, which takes them for nobody's.
const network = `set -e
ip link set lo up
mount --bind "$1" /etc/hosts
mount --bind "$2" /etc/resolv.conf
shift 2
`

// Digdir's and Skatteetaten's addresses.
const dropped = `
ip route add 139.105.36.0/24 dev lo
ip route add 20.100.51.0/24 dev lo
exec "$@"
`

// healthy has a Maskinporten at the address of Digdir's test environment.
const healthy = `
ip addr add 139.105.36.132/32 dev lo
ip route add 20.100.51.0/24 dev lo
rm -f fake.log # of a run before
"$1" fake --listen 139.105.36.132:443 --url https://test.maskinporten.no --tls --write-env fake.env >/dev/null 2>fake.log &
fake=$!
while ! grep -qs "answers at" fake.log; do sleep 0.05; done
status=0
"$@" || status=$?
kill $fake
exit $status
`

// isolate has the tool run in a network of its own. That needs Linux, root and
// iproute2.
func (s *setup) isolate(script, hosts string) {
	s.t.Helper()
	if runtime.GOOS != "linux" {
		s.t.Skip("network namespaces are Linux's")
	}
	if output, err := exec.Command("unshare", "--net", "--mount", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		s.t.Skipf("no network namespace can be made here, which takes root and iproute2: %v: %s", err, strings.TrimSpace(string(output)))
	}
	s.prefix = []string{
		"unshare", "--net", "--mount", "sh", "-c", network + script, "sh",
		s.file("hosts", []byte(hosts)), s.file("resolv.conf", []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")),
	}
}

func TestDroppedPackets(t *testing.T) {
	s := newSetup(t)
	s.isolate(dropped, "139.105.36.132 test.maskinporten.no\n")
	s.testThrough("")
	delete(s.env, "HTTPS_PROXY")
	s.check(fault{
		name: "packets dropped", step: "tcp", status: 4,
		seen:   "139.105.36.132:443 did not answer within 2s",
		remedy: "Nothing answers at all, which is most often a firewall that drops what is sent. Open outbound port 443 to test.maskinporten.no (139.105.36.132 and 2a02:9cc::301)",
	}, []string{"--timeout", "2s"})
	s.golden("doctor/dropped.text", s.run("doctor", "--timeout", "2s"))
}

// Digdir's test environment as it is, with an IPv6 address that this network has
// no way to.
func TestTestEnvironment(t *testing.T) {
	s := newSetup(t)
	s.isolate(healthy, "139.105.36.132 test.maskinporten.no\n2a02:9cc::301 test.maskinporten.no\n20.100.51.138 inntekt.api.skatteetaten-test.no\n")
	args := []string{"--env-file", "fake.env", "--env", "test", "--scope", "skatteetaten:inntekt", "--consumer-org", "974760673"}
	s.golden("doctor/test-environment.text", s.run(append([]string{"doctor"}, args...)...))
	s.check(fault{
		name: "API host blocked, packets dropped", step: "api", status: 4,
		seen:   "20.100.51.138:443 did not answer within 3s",
		remedy: "Nothing answers at all, which is most often a firewall that drops what is sent. Open outbound port 443 to inntekt.api.skatteetaten-test.no",
	}, append(args, "--api", "skatteetaten-inntekt", "--timeout", "3s"))
}

// An address that Digdir has not published is pointed out.
func TestMovedAddress(t *testing.T) {
	s := newSetup(t)
	s.isolate(strings.ReplaceAll(healthy, "139.105.36.132", "139.105.36.150"), "139.105.36.150 test.maskinporten.no\n")
	found, status := s.doctor("--env-file", "fake.env", "--env", "test", "--scope", "a:b")
	for _, step := range found.Steps {
		if step.ID == "tcp" && (step.Status != "warning" || !strings.Contains(step.Summary, "139.105.36.150 is not among the addresses that Digdir published")) {
			t.Errorf("%+v", step)
		}
	}
	if !found.OK || status != 0 {
		t.Errorf("exit status %d", status)
	}
	if _, status := s.doctor("--env-file", "fake.env", "--env", "test", "--scope", "a:b", "--fail-on", "warning"); status != 1 {
		t.Errorf("--fail-on warning: exit status %d", status)
	}
}

// A name that DNS says does not exist, a DNS server that does not answer, and
// none.
func TestNames(t *testing.T) {
	for _, c := range []struct{ reason, server, seen string }{
		{"no such name", "nxdomain", "the name test.maskinporten.no was not found"},
		{"a server that says nothing", "silent", "no DNS server answered for test.maskinporten.no"},
		{"no server", "", "the name test.maskinporten.no was not looked up"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			s := newSetup(t)
			s.isolate(`if [ -n "$TEST_DNS" ]; then "$TEST_BINARY" >dns.log 2>&1 & dns=$!; while ! grep -qs ready dns.log; do sleep 0.05; done; fi
status=0
"$@" || status=$?
[ -z "$dns" ] || kill $dns
exit $status
`, "")
			test, err := filepath.Abs(os.Args[0])
			if err != nil {
				t.Fatal(err)
			}
			s.testThrough("")
			delete(s.env, "HTTPS_PROXY")
			s.env["TEST_BINARY"], s.env["TEST_DNS"] = test, c.server
			s.check(fault{name: c.reason, step: "dns", status: 4, seen: c.seen, remedy: "Check the spelling of test.maskinporten.no and this machine's DNS"}, []string{"--timeout", "3s"})
		})
	}
}

// serveDNS is a DNS server that knows no name (RFC 1035, section 4.1.1), or
// says nothing. It is another process: this test, told by TEST_DNS what to be.
func serveDNS(how string) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("ready\n")
	question := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(question)
		if err != nil || n < 12 || how == "silent" {
			continue
		}
		question[2], question[3] = 0x81, 0x83 // an answer; recursion; no such name
		question[10], question[11] = 0, 0     // no additional records
		end := 12
		for end < n && question[end] != 0 {
			end += int(question[end]) + 1
		}
		conn.WriteTo(question[:min(end+5, n)], from)
	}
}
