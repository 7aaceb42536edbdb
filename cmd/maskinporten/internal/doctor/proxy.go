package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

type proxyDetails struct {
	Proxy    string `json:"proxy"`
	Variable string `json:"variable"`
	Exempt   bool   `json:"exempt_by_no_proxy"`
	Result   string `json:"result,omitempty"`
}

// proxy says which proxy is used, by which variable, and asks it for the
// servers.
func (x *examination) proxy(ctx context.Context) Step {
	step := Step{ID: "proxy", Status: OK}
	first := x.way.targets[0]
	details := &proxyDetails{Variable: first.variable, Exempt: first.exempt}
	step.Details = details
	if x.way.err != nil {
		step.Status, step.exit = Failed, exitUnreachable
		step.Summary = fmt.Sprintf("%s is not a URL", first.variable)
		step.Remedy = fmt.Sprintf("Set %s to a URL such as http://proxy.example:8080.", first.variable) + see("proxy")
		return step
	}
	step.Summary = "none: HTTPS_PROXY is not set"
	if first.exempt {
		step.Summary = fmt.Sprintf("none: NO_PROXY exempts %s from %s, or it is this machine", first.host, first.variable)
	}
	for _, t := range x.way.targets {
		if t.proxy == nil {
			continue
		}
		details.Proxy, details.Variable = t.proxy.Host, t.variable
		step.Summary = fmt.Sprintf("%s, by %s", t.proxy.Host, t.variable)
		err := t.ask(ctx, x.Timeout)
		details.Result = t.connect.text
		switch {
		case err != nil:
			result := connectResult(err)
			details.Result = result
			step.Status, step.exit = Failed, exitUnreachable
			step.Summary = fmt.Sprintf("the proxy %s, by %s: %s", t.proxy.Host, t.variable, describeResult(result, x.Timeout))
			step.Remedy = fmt.Sprintf("Check that %s names the right host and port, and that the proxy runs; or exempt %s by NO_PROXY if this network needs no proxy.", t.variable, t.host) + see("proxy")
			return step
		case t.connect.status == http.StatusProxyAuthRequired:
			step.Status, step.exit = Failed, exitUnreachable
			step.Summary = fmt.Sprintf("the proxy %s, by %s, wants a user name and a password: it answered %s", t.proxy.Host, t.variable, t.connect.text)
			step.Remedy = fmt.Sprintf("Put them into %s: http://user:password@%s. Only Basic authentication is spoken.", t.variable, t.proxy.Host)
			return step
		case t.connect.status/100 == 4:
			step.Status, step.exit = Failed, exitUnreachable
			step.Summary = fmt.Sprintf("the proxy %s, by %s, does not let connections through to %s: it answered %s", t.proxy.Host, t.variable, t.address(), t.connect.text)
			step.Remedy = fmt.Sprintf("Have whoever runs the proxy allow CONNECT to %s.", t.address())
			return step
		}
	}
	return step
}

// ask asks the proxy for a tunnel to t, as a call would. The answer is kept in
// t; an error is about the proxy alone.
func (t *target) ask(ctx context.Context, timeout time.Duration) error {
	dialer := &net.Dialer{Timeout: timeout}
	conn, err := dialer.DialContext(ctx, "tcp", t.proxyAddress())
	if err != nil {
		return err
	}
	defer conn.Close()
	if !t.secure() || strings.HasPrefix(t.proxy.Scheme, "socks") {
		return nil // no tunnel is asked for, or not in a way that is spoken here
	}
	conn.SetDeadline(time.Now().Add(timeout))
	if t.proxy.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: t.proxyHost(), MinVersion: tls.VersionTLS12})
	}
	request := fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n", t.address(), t.address())
	if user := t.proxy.User; user != nil {
		password, _ := user.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := conn.Write([]byte(request + "\r\n")); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, 64<<10)), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return err
	}
	answer.Body.Close()
	t.connect = connected{answer.StatusCode, redact.Clean(answer.Status, 100)}
	return nil
}
