package redact

import (
	"crypto/tls"
	"net"
	"net/url"
)

// Error returns err if neither its text nor that of an error in it holds
// anything that [Clean] would change, else the closest to it that does not:
// errors of package net and crypto/tls are made again with what is clean in
// them, and any other becomes one that only has its text and what is clean in
// it. So errors.Is and errors.As go on finding what may be found.
func Error(err error, secrets ...string) error {
	if err == nil || harmless(err, secrets) {
		return err
	}
	again := func(err error) error { return Error(err, secrets...) }
	text := func(s string) string { return Clean(s, maxText, secrets...) }
	var made error
	switch e := err.(type) {
	case *url.Error:
		made = &url.Error{Op: text(e.Op), URL: text(e.URL), Err: again(e.Err)}
	case *net.OpError:
		made = &net.OpError{Op: text(e.Op), Net: text(e.Net), Source: e.Source, Addr: e.Addr, Err: again(e.Err)}
	case *net.DNSError:
		c := *e
		c.Err, c.Name, c.Server, c.UnwrapErr = text(e.Err), text(e.Name), text(e.Server), again(e.UnwrapErr)
		made = &c
	case *tls.CertificateVerificationError:
		made = &tls.CertificateVerificationError{UnverifiedCertificates: e.UnverifiedCertificates, Err: again(e.Err)}
	}
	if made != nil && harmless(made, secrets) {
		return made
	}
	c := &cleaned{text: text(err.Error())}
	for _, inner := range unwrap(err) {
		c.inner = append(c.inner, again(inner))
	}
	if n, ok := err.(net.Error); ok {
		return &cleanedTimeout{c, n.Timeout()}
	}
	return c
}

// An error is at most maxLine characters, and one that had to be cleaned
// maxText, so that there is room for what is said around it.
const (
	maxText = 200
	maxLine = 4000
)

// harmless reports whether nothing in err would be changed.
func harmless(err error, secrets []string) bool {
	if text := err.Error(); Clean(text, maxLine, secrets...) != text {
		return false
	}
	for _, inner := range unwrap(err) {
		if !harmless(inner, secrets) {
			return false
		}
	}
	return true
}

func unwrap(err error) []error {
	var all []error
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		all = []error{e.Unwrap()}
	case interface{ Unwrap() []error }:
		all = e.Unwrap()
	}
	var some []error
	for _, inner := range all {
		if inner != nil {
			some = append(some, inner)
		}
	}
	return some
}

// cleaned stands for an error whose own text was not fit to be printed.
type cleaned struct {
	text  string
	inner []error
}

func (e *cleaned) Error() string { return e.text }

func (e *cleaned) Unwrap() []error { return e.inner }

// cleanedTimeout is one that was a net.Error.
type cleanedTimeout struct {
	*cleaned
	timeout bool
}

func (e *cleanedTimeout) Timeout() bool { return e.timeout }

func (e *cleanedTimeout) Temporary() bool { return e.timeout }
