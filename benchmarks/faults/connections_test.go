package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/benchmarks/line"
)

const (
	// soonEnough is what a cold key may take when kept connections are dead.
	soonEnough = 12 * time.Second

	// idle is longer than the five seconds for which a connection that has
	// answered is not suspected.
	idle = 6 * time.Second
)

func connections() []scenario {
	var all []scenario
	for _, http2 := range []bool{false, true} {
		protocol := map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2]
		for _, kept := range []int{1, 3} {
			if http2 && kept > 1 {
				continue // it keeps one
			}
			for _, how := range []line.Fault{line.Silent, line.Reset} {
				name := fmt.Sprintf("%s, %d kept connections dead (%s): two cold keys, one after the other", protocol, kept, how)
				name = strings.Replace(name, "1 kept connections", "the kept connection", 1)
				all = append(all, scenario{fault: name, meet: func(t *testing.T) (string, bool) { return deadConnections(t, http2, kept, how) }})
			}
		}
	}
	return append(all,
		scenario{fault: "HTTP/2, the kept connection dead (silent): a key at hand, for 30 s", meet: keyAtHand},
		scenario{fault: "an IPv6 address that leads nowhere beside a good IPv4 address", meet: deadIPv6},
		scenario{fault: "the name gets another address, and the old one goes silent", meet: anotherAddress},
		scenario{fault: "a proxy dies and comes back: meanwhile; afterwards", meet: proxyComesBack},
	)
}

// secure is e over TLS, at the end of a line. Each client has a transport of
// its own, as a user might bring it: the library's is one for the process, and
// what dies in one scenario would be noticed in another.
func secure(t *testing.T, e *endpoint, http2 bool) (*line.Line, maskinporten.Config) {
	t.Helper()
	server := httptest.NewUnstartedServer(e)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // lines that break are meant to
	server.EnableHTTP2 = http2
	server.StartTLS()
	l, err := line.New(server.Listener.Addr().String())
	must(err)
	t.Cleanup(func() { l.Close(); server.CloseClientConnections(); server.Close() })
	transport := &http.Transport{
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 4,
		TLSClientConfig:     server.Client().Transport.(*http.Transport).TLSClientConfig,
	}
	issuer := "https://" + l.Addr() + "/"
	return l, maskinporten.Config{
		Environment: maskinporten.Environment{Issuer: issuer, TokenURL: issuer + "token", JWKSURL: issuer + "jwk"},
		ClientID:    "faults",
		Credential:  credential(t, noSigner{}),
		HTTPClient:  &http.Client{Transport: transport},
	}
}

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "100") // they wait for the clock, most of the time
	flag.Parse()
	os.Exit(m.Run())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// deadConnections is a firewall that forgets connections while they are idle.
func deadConnections(t *testing.T, http2 bool, kept int, how line.Fault) (string, bool) {
	var warm sync.WaitGroup
	e := newEndpoint()
	e.answer = func(n int, _ http.ResponseWriter, _ grant) bool {
		if n <= kept {
			warm.Done()
			warm.Wait() // all at once, so that each has a connection of its own
		}
		return false
	}
	l, config := secure(t, e, http2)
	client := newClient(t, config)
	warm.Add(kept)
	var callers sync.WaitGroup
	for n := range kept {
		callers.Go(func() {
			if _, err := client.Token(t.Context(), request(n)); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if open := l.Open(); open != kept {
		t.Errorf("%d connections are kept", open)
	}
	time.Sleep(idle)
	l.Kill(how, -1)
	first, err := timed(t.Context(), client, request(100))
	second, err2 := timed(t.Context(), client, request(101))
	right := err == nil && err2 == nil && first < soonEnough && second < soonEnough && e.repeated() == 0
	result := outcome(err, first) + "; " + outcome(err2, second)
	if n := e.repeated(); n > 0 {
		result += fmt.Sprintf("; %d assertions twice", n)
	}
	return result, right
}

// keyAtHand is for callers who have a token: none of them is to notice.
func keyAtHand(t *testing.T) (string, bool) {
	e := newEndpoint()
	e.lives = 20 * time.Second
	l, config := secure(t, e, true)
	client := newClient(t, config)
	if _, err := client.Token(t.Context(), request(0)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(idle)
	l.Kill(line.Silent, -1)
	var failed, calls int
	var worst time.Duration
	for start := time.Now(); time.Since(start) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		took, err := timed(t.Context(), client, request(0))
		calls++
		worst = max(worst, took)
		if err != nil {
			failed++
		}
	}
	return fmt.Sprintf("%d of %d calls failed, the worst took %s", failed, calls, round(worst)), failed == 0 && worst < soonEnough
}

// named has config's client look up the name that httptest's certificate is
// for, in n.
func named(config *maskinporten.Config, n *names, port string) *http.Transport {
	transport := config.HTTPClient.Transport.(*http.Transport)
	transport.DialContext = (&net.Dialer{Resolver: n.resolver()}).DialContext
	issuer := "https://example.com:" + port + "/"
	config.Environment = maskinporten.Environment{Issuer: issuer, TokenURL: issuer + "token", JWKSURL: issuer + "jwk"}
	return transport
}

func deadIPv6(t *testing.T) (string, bool) {
	l, config := secure(t, newEndpoint(), true)
	_, port, _ := net.SplitHostPort(l.Addr())
	if !swallow(t, port) {
		return "not tried: this machine has no IPv6", true
	}
	named(&config, namesAt(t, "::1", "127.0.0.1"), port)
	took, err := timed(t.Context(), newClient(t, config), request(0))
	return outcome(err, took), err == nil && took < soonEnough
}

// swallow has ::1 take no connection at port and refuse none: a queue of
// connections that nobody accepts is full.
func swallow(t *testing.T, port string) bool {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM, 0)
	if err != nil {
		return false
	}
	t.Cleanup(func() { syscall.Close(fd) })
	address := &syscall.SockaddrInet6{Addr: netip.IPv6Loopback().As16()}
	if address.Port, err = net.LookupPort("tcp", port); err != nil {
		return false
	}
	if syscall.Bind(fd, address) != nil || syscall.Listen(fd, 0) != nil {
		return false
	}
	for range 10 {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("::1", port), 200*time.Millisecond)
		if err != nil {
			return os.IsTimeout(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	return false
}

func anotherAddress(t *testing.T) (string, bool) {
	e := newEndpoint()
	l, config := secure(t, e, true)
	_, port, _ := net.SplitHostPort(l.Addr())
	n := namesAt(t, "127.0.0.1")
	named(&config, n, port)
	client := newClient(t, config)
	if _, err := client.Token(t.Context(), request(0)); err != nil {
		t.Fatal(err)
	}
	moved, err := line.NewAt(l.Target(), net.JoinHostPort("127.0.0.2", port))
	must(err)
	t.Cleanup(moved.Close)
	n.set("127.0.0.2")
	must(l.Set(line.Silent))
	time.Sleep(idle)
	took, err := timed(t.Context(), client, request(1))
	return outcome(err, took), err == nil && took < soonEnough && e.repeated() == 0
}

func proxyComesBack(t *testing.T) (string, bool) {
	e := newEndpoint()
	l, config := secure(t, e, true)
	_, port, _ := net.SplitHostPort(l.Addr())
	transport := named(&config, namesAt(t), port)
	proxy := httptest.NewServer(tunnel(l.Addr()))
	address := proxy.Listener.Addr().String()
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: address})
	client := newClient(t, config)
	if _, err := client.Token(t.Context(), request(0)); err != nil {
		t.Fatal(err)
	}
	proxy.Listener.Close()
	l.Kill(line.Reset, -1) // what went through it
	meanwhile, errMeanwhile := timed(t.Context(), client, request(1))
	listener, err := net.Listen("tcp", address)
	must(err)
	again := &http.Server{Handler: tunnel(l.Addr())}
	go again.Serve(listener)
	t.Cleanup(func() { again.Close(); proxy.Close() })
	time.Sleep(time.Second) // the failure is remembered for so long at most
	afterwards, err := timed(t.Context(), client, request(1))
	return outcome(errMeanwhile, meanwhile) + "; " + outcome(err, afterwards), err == nil && afterwards < soonEnough && e.repeated() == 0
}

// tunnel is a proxy that takes CONNECT for whatever name, and leads to target.
func tunnel(target string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		client, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", target)
		if err != nil {
			client.Close()
			return
		}
		io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(server, client); server.Close() }()
		io.Copy(client, server)
		client.Close()
	}
}

// names is a name server that gives every name the same addresses.
type names struct {
	conn net.PacketConn

	mu        sync.Mutex
	addresses []netip.Addr
}

func namesAt(t *testing.T, addresses ...string) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(err)
	n := &names{conn: conn}
	n.set(addresses...)
	go n.serve()
	t.Cleanup(func() { conn.Close() })
	return n
}

func (n *names) set(addresses ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = nil
	for _, a := range addresses {
		n.addresses = append(n.addresses, netip.MustParseAddr(a))
	}
}

func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", n.conn.LocalAddr().String())
	}}
}

func (n *names) serve() {
	buffer := make([]byte, 1500)
	for {
		size, from, err := n.conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:size]) != nil || len(m.Questions) != 1 {
			continue
		}
		m.Response, m.Additionals = true, nil
		q := m.Questions[0]
		n.mu.Lock()
		for _, a := range n.addresses {
			h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}
			switch {
			case a.Is4() && q.Type == dnsmessage.TypeA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
			case a.Is6() && q.Type == dnsmessage.TypeAAAA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
			}
		}
		n.mu.Unlock()
		if packed, err := m.Pack(); err == nil {
			n.conn.WriteTo(packed, from)
		}
	}
}
