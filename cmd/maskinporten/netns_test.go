package main

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// dropped is the beginning of a script in a network of its own, in which
// packets to some addresses vanish: they are sent to the loopback interface,
// which takes them for nobody's. Names are looked up in the file $1.
const dropped = `set -e
ip link set lo up
ip route add 139.105.36.0/24 dev lo
ip route add 20.100.51.0/24 dev lo
mount --bind "$1" /etc/hosts
shift
`

// isolate has the tool run in a network of its own, which is set up by script.
// That needs Linux, root and iproute2.
func (s *setup) isolate(script, hosts string) {
	s.t.Helper()
	if runtime.GOOS != "linux" {
		s.t.Skip("network namespaces are Linux's")
	}
	if output, err := exec.Command("unshare", "--net", "--mount", "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		s.t.Skipf("no network namespace can be made here, which takes root and iproute2: %v: %s", err, strings.TrimSpace(string(output)))
	}
	s.prefix = []string{"unshare", "--net", "--mount", "sh", "-c", script + "exec \"$@\"\n", "sh", s.file("hosts", []byte(hosts))}
}

func TestDroppedPackets(t *testing.T) {
	s := newSetup(t)
	s.isolate(dropped, "139.105.36.132 test.maskinporten.no\n")
	s.testThrough("")
	delete(s.env, "HTTPS_PROXY")
	s.check(fault{
		name: "packets dropped", step: "tcp", status: 4,
		seen:   "139.105.36.132:443 did not answer within 500ms",
		remedy: "Nothing answers at all, which is most often a firewall that drops what is sent. Open outbound port 443 to test.maskinporten.no (139.105.36.132 and 2a02:9cc::301)",
	}, []string{"--timeout", "500ms"})
	s.golden("doctor/dropped.text", s.run("doctor", "--timeout", "500ms"))
}
