package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// How an attempt to connect can end.
const (
	reached = "connected"
	refused = "refused" // something says no: nothing listens, or a firewall that answers
	silent  = "silent"  // nothing says anything: most often a firewall
	noRoute = "no route"
)

type addressDetails struct {
	Host    string `json:"host"`
	Address string `json:"address"`
	Port    string `json:"port"`
	Result  string `json:"result"`
	Millis  int64  `json:"ms"`
	Digdir  *bool  `json:"published_by_digdir,omitempty"` // nil: it publishes none for the host
	Proxy   string `json:"proxy,omitempty"`
}

type tcpDetails struct {
	Addresses []addressDetails `json:"addresses"`
}

// tcp connects to each address of each server. Through a proxy, it is the proxy
// that connects, and has said how that went.
func (x *examination) tcp(ctx context.Context) Step {
	step := Step{ID: "tcp", Status: OK}
	var (
		details tcpDetails
		seen    []string
	)
	step.Details = &details
	for _, t := range x.way.targets {
		if t.proxy != nil {
			x.tunnel(t, &step, &details, &seen)
			continue
		}
		attempts := connectAll(ctx, t, x.names[t.host], x.Timeout)
		details.Addresses = append(details.Addresses, attempts...)
		x.judge(t, attempts, &step, &seen)
	}
	step.Summary = strings.Join(seen, "; ")
	return step
}

// tunnel says what the proxy answered when it was asked for the server.
func (x *examination) tunnel(t *target, step *Step, details *tcpDetails, seen *[]string) {
	d := addressDetails{Host: t.host, Port: t.port, Result: reached, Proxy: t.proxy.Host}
	if t.connect.status == 0 {
		d.Result = "left to the proxy"
		*seen = append(*seen, fmt.Sprintf("%s is reached by the proxy %s", t.address(), t.proxy.Host))
	} else if t.connect.status == 200 {
		*seen = append(*seen, fmt.Sprintf("the proxy %s connects to %s", t.proxy.Host, t.address()))
	} else {
		d.Result = t.connect.text
		*seen = append(*seen, fmt.Sprintf("the proxy %s cannot connect to %s: it answered %s", t.proxy.Host, t.address(), t.connect.text))
		step.Status, step.exit = Failed, exitUnreachable
		step.Remedy = fmt.Sprintf("Have whoever runs the proxy open %s from there.", t.firewall())
	}
	details.Addresses = append(details.Addresses, d)
}

// judge sums up the attempts on the addresses of one server: it is reached if
// one of them is, but others that are not make some of the calls slow.
func (x *examination) judge(t *target, attempts []addressDetails, step *Step, seen *[]string) {
	var good, bad, strange []string
	results := make(map[string]bool)
	for _, a := range attempts {
		where := net.JoinHostPort(a.Address, a.Port)
		switch {
		case a.Result == reached:
			good = append(good, fmt.Sprintf("%s in %d ms", where, a.Millis))
		case a.Result == noRoute && strings.Contains(a.Address, ":") && len(attempts) > 1:
			// A machine without IPv6 goes on to the next address at once.
			*seen = append(*seen, where+" needs IPv6, which this network has not")
		default:
			bad = append(bad, where+" "+describeResult(a.Result, x.Timeout))
			results[a.Result] = true
		}
		if a.Digdir != nil && !*a.Digdir {
			strange = append(strange, a.Address)
		}
	}
	if len(good) > 0 {
		*seen = append(*seen, t.host+": "+strings.Join(good, ", "))
	}
	*seen = append(*seen, bad...)
	switch {
	case len(good) == 0:
		step.Status, step.exit = Failed, exitUnreachable
		what, section := "Something turns the connection away: nothing listens there, or a firewall says no.", "refused"
		if results[silent] {
			what, section = "Nothing answers at all, which is most often a firewall that drops what is sent.", "connect-timeout"
		}
		step.Remedy = fmt.Sprintf("%s Open %s; %s", what, t.firewall(), t.proxyAdvice()) + see(section)
	case step.Status == Failed:
	case len(bad) > 0:
		step.Status = Warning
		step.Remedy = fmt.Sprintf("Calls that begin with an address that does not answer are slow. Open %s, each address.", t.firewall())
	case len(strange) > 0:
		step.Status = Warning
		*seen = append(*seen, fmt.Sprintf("%s is not among the addresses that Digdir published for %s", strings.Join(strange, ", "), t.host))
		step.Remedy = fmt.Sprintf("If this network's firewall names addresses, look whether Digdir has new ones (https://docs.digdir.no/docs/general/IP). Otherwise find out why DNS says so: %s was expected.", strings.Join(published[t.host], " or "))
	}
}

func describeResult(result string, timeout time.Duration) string {
	switch result {
	case refused:
		return "refused the connection"
	case silent:
		return fmt.Sprintf("did not answer within %v", timeout)
	case noRoute:
		return "cannot be reached: there is no route to it"
	}
	return result
}

// connectAll tries all addresses of a server side by side.
func connectAll(ctx context.Context, t *target, addresses []netip.Addr, timeout time.Duration) []addressDetails {
	attempts := make([]addressDetails, len(addresses))
	var all sync.WaitGroup
	for i, address := range addresses {
		all.Go(func() {
			start := time.Now()
			err := dial(ctx, net.JoinHostPort(address.String(), t.port), timeout)
			attempts[i] = addressDetails{
				Host: t.host, Address: address.String(), Port: t.port,
				Result: connectResult(err), Millis: time.Since(start).Milliseconds(),
			}
			if known := published[t.host]; known != nil {
				listed := slices.Contains(known, address.String())
				attempts[i].Digdir = &listed
			}
		})
	}
	all.Wait()
	return attempts
}

func dial(ctx context.Context, address string, timeout time.Duration) error {
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "tcp", address)
	if err == nil {
		conn.Close()
	}
	return err
}

func connectResult(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return reached
	case isErrno(err, syscall.ECONNREFUSED, 10061), isErrno(err, syscall.ECONNRESET, 10054):
		return refused
	case errors.As(err, &timeout) && timeout.Timeout():
		return silent
	case isErrno(err, syscall.ENETUNREACH, 10051), isErrno(err, syscall.EHOSTUNREACH, 10065):
		return noRoute
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err.Error()
	}
	return err.Error()
}

// isErrno compares with a POSIX number or, on Windows, with Winsock's, which
// package syscall does not take for the same.
func isErrno(err error, posix syscall.Errno, winsock int) bool {
	if runtime.GOOS == "windows" && errors.Is(err, syscall.Errno(winsock)) {
		return true
	}
	return errors.Is(err, posix)
}
