package main

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A fault is what a line does to the bytes that pass through it.
type fault int32

const (
	healthy  fault = iota
	silent         // takes what is sent and passes nothing on
	halfOpen       // what is open now has gone dead; new connections work
	reset          // breaks off (RST) what is open and what comes
	delay          // half a second before each piece
	cut            // ends (FIN) in the middle of an answer
	stopped        // stops reading, so that writers fill their buffers and stand still
	moved          // has another address
)

var faultNames = map[fault]string{
	silent: "silent", halfOpen: "half-open", reset: "reset", delay: "delay",
	cut: "cut in the middle", stopped: "stops reading", moved: "another address",
}

// line is a TCP proxy on loopback addresses in front of one server.
type line struct {
	target string
	fault  atomic.Int32

	mu       sync.Mutex
	listener net.Listener
	conns    map[*pair]bool
}

// pair is a connection of a client and the one to the server that serves it.
type pair struct {
	client, server *net.TCPConn
	dead           atomic.Bool // has lost a piece: nothing passes any more
}

func newLine(target string) (*line, error) {
	l := &line{target: target, conns: make(map[*pair]bool)}
	return l, l.move()
}

// dial is for [net/http.Transport.DialContext]: it finds the line wherever it is.
func (l *line) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	l.mu.Lock()
	at := l.listener.Addr().String()
	l.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, at)
}

// move gives the line another address. What is open stays open, and silent.
func (l *line) move() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l.mu.Lock()
	old := l.listener
	l.listener = listener
	l.deaden()
	l.mu.Unlock()
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

func (l *line) deaden() {
	for p := range l.conns {
		p.dead.Store(true)
	}
}

// set begins a fault, or ends it.
func (l *line) set(f fault) error {
	l.fault.Store(int32(f))
	switch f {
	case halfOpen:
		l.mu.Lock()
		l.deaden()
		l.mu.Unlock()
	case reset:
		l.breakOff()
	case moved:
		return l.move()
	}
	return nil
}

// breakOff resets what is open.
func (l *line) breakOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.conns {
		p.client.SetLinger(0)
		p.client.Close()
		p.server.Close()
	}
}

func (l *line) carry(client *net.TCPConn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer server.Close()
	p := &pair{client: client, server: server.(*net.TCPConn)}
	l.mu.Lock()
	l.conns[p] = true
	l.mu.Unlock()
	var up sync.WaitGroup
	up.Go(func() { l.pump(p, p.server, client, false) })
	l.pump(p, client, p.server, true)
	client.Close()
	server.Close()
	up.Wait()
	l.mu.Lock()
	delete(l.conns, p)
	l.mu.Unlock()
}

// pump carries pieces one way until an end is closed or the fault says so.
func (l *line) pump(p *pair, to, from *net.TCPConn, answer bool) {
	buffer := make([]byte, 16<<10)
	for {
		for fault(l.fault.Load()) == stopped && !p.dead.Load() {
			time.Sleep(20 * time.Millisecond)
		}
		n, err := from.Read(buffer)
		if n > 0 {
			switch fault(l.fault.Load()) {
			case silent:
				p.dead.Store(true)
			case reset:
				p.client.SetLinger(0)
				return
			case delay:
				time.Sleep(500 * time.Millisecond)
			case cut:
				if answer && n > 100 && rand.IntN(4) == 0 {
					to.Write(buffer[:n/2])
					return
				}
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
