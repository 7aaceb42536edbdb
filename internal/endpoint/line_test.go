package endpoint

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const lineURL = "https://token.test/token"

// line is a network in memory, for use in a synctest bubble: a TLS server, and
// connections to it that can die.
type line struct {
	http2   bool
	answer  http.HandlerFunc
	connect bool // dialing leads to a proxy that takes CONNECT

	listener chan net.Conn
	roots    *x509.CertPool
	dials    atomic.Int64

	mu    sync.Mutex
	conns []*lineConn
	fail  error // what dialing returns now
}

// deaths are the ways in which a connection dies.
const (
	silent = iota + 1 // what is sent is swallowed, and nothing comes
	reset             // the next word is answered with RST
)

var lineCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"token.test"},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

// newLine starts a server that ends with the test.
func newLine(t *testing.T, http2 bool, answer http.HandlerFunc) *line {
	l := &line{http2: http2, answer: answer, listener: make(chan net.Conn), roots: x509.NewCertPool()}
	l.roots.AddCert(lineCertificate().Leaf)
	server := &http.Server{
		Handler:   answer,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{lineCertificate()}},
		Protocols: new(http.Protocols),
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetHTTP2(http2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ServeTLS(l, "", "")
	}()
	t.Cleanup(func() {
		server.Close()
		l.mu.Lock()
		for _, c := range l.conns {
			c.Close()
		}
		l.mu.Unlock()
		<-done
	})
	return l
}

// The line is its server's listener.
func (l *line) Accept() (net.Conn, error) {
	if c, ok := <-l.listener; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *line) Close() error {
	defer func() { recover() }() // closed twice
	close(l.listener)
	return nil
}

func (l *line) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

func (l *line) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	l.dials.Add(1)
	l.mu.Lock()
	err := l.fail
	l.mu.Unlock()
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	client, server := net.Pipe()
	if l.connect {
		go l.proxy(buffered(server))
	} else {
		l.listener <- buffered(server)
	}
	c := &lineConn{Conn: buffered(client)}
	l.mu.Lock()
	l.conns = append(l.conns, c)
	l.mu.Unlock()
	return c, nil
}

// proxy takes one CONNECT, and is the line from then on.
func (l *line) proxy(conn net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(io.LimitReader(conn, 1<<10))))
	if err != nil || req.Method != http.MethodConnect {
		conn.Close()
		return
	}
	io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	l.listener <- conn
}

// refuse makes dialing fail from now on, unless err is nil.
func (l *line) refuse(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = err
}

// transport returns the library's own transport, or one that a user might have.
func (l *line) transport(own bool) *http.Transport {
	t := &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4}
	if own {
		t = newTransport(&net.Dialer{})
		t.Proxy = nil
	}
	t.DialContext = l.dial
	t.TLSClientConfig = &tls.Config{RootCAs: l.roots}
	return t
}

// kill lets the first n open connections die.
func (l *line) kill(how int32, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if n > 0 && c.death.CompareAndSwap(0, how) {
			n--
		}
	}
}

// lineConn is the client's end of a connection.
type lineConn struct {
	net.Conn
	death atomic.Int32
}

func (c *lineConn) Write(b []byte) (int, error) {
	switch c.death.Load() {
	case silent:
		return len(b), nil
	case reset:
		c.Conn.Close()
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: os.NewSyscallError("write", syscall.ECONNRESET)}
	}
	return c.Conn.Write(b)
}

func (c *lineConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if c.death.Load() != silent || err != nil {
			return n, err
		}
	}
}

// buffered returns conn with writes that do not wait to be read.
func buffered(conn net.Conn) net.Conn {
	b := &bufferedConn{Conn: conn, queue: make(chan []byte, 1000), closed: make(chan struct{})}
	go func() {
		for {
			select {
			case piece := <-b.queue:
				b.Conn.Write(piece)
			case <-b.closed:
				return
			}
		}
	}()
	return b
}

type bufferedConn struct {
	net.Conn
	queue  chan []byte
	once   sync.Once
	closed chan struct{}
}

func (b *bufferedConn) Write(p []byte) (int, error) {
	select {
	case <-b.closed:
		return 0, net.ErrClosed
	case b.queue <- append([]byte(nil), p...):
		return len(p), nil
	}
}

func (b *bufferedConn) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.Conn.Close()
}

func (b *bufferedConn) SetWriteDeadline(time.Time) error { return nil }

func (b *bufferedConn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1} }

// post sends one request with a body of its own.
func post(ctx context.Context, hc *http.Client, id string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, AttemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, lineURL, newOnce(id))
	if err != nil {
		return "", err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return "", Explain(err, lineURL, hc)
	}
	defer resp.Body.Close()
	body, err := ReadBody(resp.Body)
	if err != nil {
		return "", Explain(err, lineURL, hc)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("HTTP %d", resp.StatusCode)
	}
	return string(body), nil
}

// names is a name server in memory that gives every name the same addresses.
type names struct {
	mu        sync.Mutex
	addresses []netip.Addr
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
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go n.serve(server)
		return client, nil
	}}
}

// serve answers queries as over TCP: a message after its length (RFC 1035 §4.2.2).
func (n *names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		end := 12 + bytes.IndexByte(query[12:], 0) + 5 // of the question
		kind := query[end-3]
		answer := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[12:end]...)
		n.mu.Lock()
		for _, a := range n.addresses {
			if a.Is4() && kind == 1 || a.Is6() && kind == 28 {
				answer[7]++
				raw := a.AsSlice()
				answer = append(answer, 0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 0, 0, byte(len(raw)))
				answer = append(answer, raw...)
			}
		}
		n.mu.Unlock()
		conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
	}
}
