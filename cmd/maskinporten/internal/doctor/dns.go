package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// names are the addresses of the servers to connect to.
type names map[string][]netip.Addr

type nameDetails struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	Error     string   `json:"error,omitempty"`
	Millis    int64    `json:"ms"`
}

type dnsDetails struct {
	Names []nameDetails `json:"names"`
}

// dns looks up each name on the way: the proxy's if there is one, for then it
// is the proxy that looks up Maskinporten's.
func (x *examination) dns(ctx context.Context) Step {
	if len(x.way.targets) == 0 {
		return skippedFor("dns", "config")
	}
	if x.way.err != nil {
		return Step{ID: "dns", Status: Skipped, Summary: "which name to look up depends on the proxy"}
	}
	var hosts []string
	for _, t := range x.way.targets {
		host := t.host
		if t.proxy != nil {
			host = t.proxyHost()
		}
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	step := Step{ID: "dns", Status: OK}
	details := dnsDetails{Names: make([]nameDetails, len(hosts))}
	step.Details = &details
	found := make([][]netip.Addr, len(hosts))
	errs := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, host := range hosts {
		all.Go(func() {
			start := time.Now()
			found[i], errs[i] = lookUp(ctx, host, x.Timeout)
			details.Names[i] = nameDetails{Name: host, Addresses: texts(found[i]), Millis: time.Since(start).Milliseconds()}
		})
	}
	all.Wait()
	x.names = make(names)
	var seen []string
	for i, host := range hosts {
		x.names[host] = found[i]
		if errs[i] == nil {
			seen = append(seen, sawName(host, details.Names[i].Addresses))
			continue
		}
		details.Names[i].Error = errs[i].Error()
		seen = append(seen, errs[i].Error())
		step.Status, step.exit = Failed, exitUnreachable
		step.Remedy = fmt.Sprintf("Check the spelling of %s and this machine's DNS: `nslookup %s`, /etc/resolv.conf. A network that has no way out but a proxy often does not know such names: set HTTPS_PROXY then.", host, host) + see("name-not-found")
	}
	step.Summary = strings.Join(seen, "; ")
	return step
}

func sawName(host string, addresses []string) string {
	if len(addresses) == 1 && addresses[0] == host {
		return host + " is an address"
	}
	return host + " is " + strings.Join(addresses, ", ")
}

func texts(addresses []netip.Addr) []string {
	list := make([]string, len(addresses))
	for i, a := range addresses {
		list[i] = a.String()
	}
	return list
}

// lookUp returns each A and AAAA of a name.
func lookUp(ctx context.Context, host string, timeout time.Duration) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	var dns *net.DNSError
	switch {
	case err == nil:
		for i, a := range addresses {
			addresses[i] = a.Unmap()
		}
		slices.SortFunc(addresses, netip.Addr.Compare)
		return slices.Compact(addresses), nil
	case errors.As(err, &dns) && dns.IsNotFound:
		return nil, fmt.Errorf("the name %s was not found", host)
	case errors.As(err, &dns) && dns.IsTimeout, errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("no DNS server answered for %s within %v", host, timeout)
	case errors.As(err, &dns):
		return nil, fmt.Errorf("the name %s was not looked up: %s", host, dns.Err)
	}
	return nil, fmt.Errorf("the name %s was not looked up: %w", host, err)
}
