package benchmarks

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// line is what a proxy does to the connections that pass through it.
type line struct {
	latency time.Duration // before each piece, either way
	rate    int           // bytes a second, either way; zero means no limit
	swallow bool          // takes all that is sent and gives nothing back
	reset   bool          // breaks off (RST) when the first of the answer comes
	cut     bool          // ends (FIN) after cutAt bytes of the answer
	cutAt   int
}

// proxy is a TCP proxy on a loopback address that remembers what was sent
// through it.
type proxy struct {
	target  string
	address string

	mu       sync.Mutex
	line     line
	listener net.Listener
	conns    map[net.Conn]bool
	sent     []*bytes.Buffer // by clients, one a connection
	answered int             // bytes of answers passed on, in all
	cuts     int
	stopped  bool
	dead     int // connections up to this one have gone dead
	done     sync.WaitGroup
}

func newProxy(t testing.TB, target string, l line) *proxy {
	t.Helper()
	p := &proxy{target: target, address: "127.0.0.1:0", line: l, conns: make(map[net.Conn]bool)}
	if err := p.up(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.down)
	return p
}

// up listens at the address that it had before, if any.
func (p *proxy) up() error {
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listener, p.address, p.stopped = listener, listener.Addr().String(), false
	p.mu.Unlock()
	p.done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() { p.carry(conn) })
		}
	})
	return nil
}

// down stops listening and breaks off what is open.
func (p *proxy) down() {
	p.mu.Lock()
	p.stopped = true
	p.listener.Close()
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
}

// deaden makes the open connections swallow what is sent, as when the other
// end has vanished without a word.
func (p *proxy) deaden() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = len(p.sent)
}

// set changes the line for new connections; open ones keep theirs.
func (p *proxy) set(l line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line = l
}

// track reports whether the proxy is still up.
func (p *proxy) track(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.conns[conn] = true
	}
	return !p.stopped
}

func (p *proxy) drop(conn net.Conn) {
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
	conn.Close()
}

// carry serves one connection until either side ends it.
func (p *proxy) carry(client net.Conn) {
	defer p.drop(client)
	if !p.track(client) {
		return
	}
	p.mu.Lock()
	l, sent := p.line, new(bytes.Buffer)
	p.sent = append(p.sent, sent)
	number := len(p.sent)
	p.mu.Unlock()

	keep := func(piece []byte) ([]byte, bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		sent.Write(piece)
		if number <= p.dead {
			return nil, true
		}
		return piece, true
	}
	if l.swallow {
		l.copy(io.Discard, client, keep)
		return
	}
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.track(server) {
		return
	}
	var upstream sync.WaitGroup
	upstream.Go(func() {
		l.copy(server, client, keep)
		server.Close()
	})
	l.copy(client, server, p.answer(l, client.(*net.TCPConn)))
	client.Close()
	upstream.Wait()
}

// answer bends what the server says on one connection.
func (p *proxy) answer(l line, client *net.TCPConn) func([]byte) ([]byte, bool) {
	left := l.cutAt
	return func(piece []byte) ([]byte, bool) {
		if l.reset {
			client.SetLinger(0)
			return nil, false
		}
		more := !l.cut || len(piece) <= left
		if l.cut {
			piece = piece[:min(len(piece), left)]
			left -= len(piece)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.answered += len(piece)
		if !more {
			p.cuts++
		}
		return piece, more
	}
}

// copy carries pieces from one side to the other, slowly if the line is slow,
// until one of them ends or bend says so.
func (l line) copy(to io.Writer, from io.Reader, bend func([]byte) (piece []byte, more bool)) {
	size := 32 << 10
	if l.rate > 0 {
		size = max(l.rate/20, 1)
	}
	buffer := make([]byte, size)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if l.latency > 0 {
				time.Sleep(l.latency)
			}
			if l.rate > 0 {
				time.Sleep(time.Duration(n) * time.Second / time.Duration(l.rate))
			}
			piece, more := bend(buffer[:n])
			if _, err := to.Write(piece); err != nil || !more {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// grants are the jti of all assertions that were sent into the proxy, as far
// as they came.
func (p *proxy) grants() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, sent := range p.sent {
		r := bufio.NewReader(bytes.NewReader(sent.Bytes()))
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				break
			}
			if err := req.ParseForm(); err != nil {
				break
			}
			ids = append(ids, jti(req.PostForm.Get("assertion")))
		}
	}
	return ids
}

func jti(assertion string) string {
	var claims struct {
		ID string `json:"jti"`
	}
	if parts := strings.Split(assertion, "."); len(parts) == 3 {
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			json.Unmarshal(payload, &claims)
		}
	}
	return claims.ID
}
