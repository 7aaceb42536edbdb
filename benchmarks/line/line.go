// Package line is a TCP line that breaks as real ones do: a proxy on loopback
// addresses in front of one server.
package line

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Fault is what a line does to the bytes that pass through it.
type Fault int32

// Faults, Healthy first and Moved last.
const (
	Healthy  Fault = iota
	Silent         // takes what is sent and passes nothing on
	HalfOpen       // what is open now has gone dead; new connections work
	Reset          // breaks off (RST) what is open and what comes
	Delay          // half a second before each piece
	Cut            // ends (FIN) in the middle of an answer
	Stopped        // stops reading, so that writers fill their buffers and stand still
	Moved          // has another address
)

var names = [...]string{
	"healthy", "silent", "half-open", "reset", "delay", "cut in the middle", "stops reading", "another address",
}

// String returns the fault's name, as in a table.
func (f Fault) String() string { return names[f] }

// Line is one line. It is safe for concurrent use.
type Line struct {
	target string
	fault  atomic.Int32

	mu       sync.Mutex
	listener net.Listener
	pairs    []*pair // open ones, the oldest first
}

// pair is a connection of a client and the one to the server that serves it.
type pair struct {
	client, server *net.TCPConn
	dead           atomic.Bool // has lost a piece: nothing passes any more
	doomed         atomic.Bool // is reset when it is next used
}

// New opens a line to the server at target, on an address of its own.
func New(target string) (*Line, error) { return NewAt(target, "127.0.0.1:0") }

// NewAt is as New, with the line at address.
func NewAt(target, address string) (*Line, error) {
	l := &Line{target: target}
	return l, l.listen(address)
}

// Target returns the address of the server.
func (l *Line) Target() string { return l.target }

// Addr returns where the line is now.
func (l *Line) Addr() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.listener.Addr().String()
}

// Dial is for [net/http.Transport.DialContext]: it finds the line wherever it is.
func (l *Line) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, l.Addr())
}

// listen gives the line an address, and another one when it has one. What is
// open stays open, and silent.
func (l *Line) listen(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	l.mu.Lock()
	old := l.listener
	l.listener = listener
	l.mu.Unlock()
	l.Kill(Silent, -1)
	if old != nil {
		old.Close()
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(conn.(*net.TCPConn))
		}
	}()
	return nil
}

// Set begins a fault, or ends it.
func (l *Line) Set(f Fault) error {
	l.fault.Store(int32(f))
	switch f {
	case HalfOpen:
		l.Kill(Silent, -1)
	case Reset:
		l.breakOff()
	case Moved:
		return l.listen("127.0.0.1:0")
	}
	return nil
}

// Kill lets the n oldest of the open connections die, or all for -1: Silent, or
// Reset when they are next used. New ones work.
func (l *Line) Kill(how Fault, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pairs {
		if n == 0 {
			return
		}
		n--
		p.dead.Store(how == Silent)
		p.doomed.Store(how == Reset)
	}
}

// Open returns how many connections are open.
func (l *Line) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pairs)
}

// Close breaks off what is open, and takes nothing more.
func (l *Line) Close() {
	l.mu.Lock()
	listener := l.listener
	l.mu.Unlock()
	listener.Close()
	l.breakOff()
}

func (l *Line) breakOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pairs {
		p.client.SetLinger(0)
		p.client.Close()
		p.server.Close()
	}
}

func (l *Line) carry(client *net.TCPConn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer server.Close()
	p := &pair{client: client, server: server.(*net.TCPConn)}
	l.mu.Lock()
	l.pairs = append(l.pairs, p)
	l.mu.Unlock()
	var up sync.WaitGroup
	up.Go(func() { l.pump(p, p.server, client, false) })
	l.pump(p, client, p.server, true)
	client.Close()
	server.Close()
	up.Wait()
	l.mu.Lock()
	for i := range l.pairs {
		if l.pairs[i] == p {
			l.pairs = append(l.pairs[:i], l.pairs[i+1:]...)
			break
		}
	}
	l.mu.Unlock()
}

// pump carries pieces one way until an end is closed or the fault says so.
func (l *Line) pump(p *pair, to, from *net.TCPConn, answer bool) {
	buffer := make([]byte, 16<<10)
	for {
		for Fault(l.fault.Load()) == Stopped && !p.dead.Load() {
			time.Sleep(20 * time.Millisecond)
		}
		n, err := from.Read(buffer)
		if n > 0 {
			switch Fault(l.fault.Load()) {
			case Silent:
				p.dead.Store(true)
			case Reset:
				p.doomed.Store(true)
			case Delay:
				time.Sleep(500 * time.Millisecond)
			case Cut:
				if answer && n > 100 && rand.IntN(4) == 0 {
					to.Write(buffer[:n/2])
					return
				}
			}
			if p.doomed.Load() {
				p.client.SetLinger(0)
				p.client.Close()
				p.server.Close()
				return
			}
			if !p.dead.Load() {
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}
