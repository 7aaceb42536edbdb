package redact

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const assertion = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw"

// What is clean stays the very same error.
func TestErrorKeepsWhatIsClean(t *testing.T) {
	for _, err := range []error{
		nil,
		io.EOF,
		context.DeadlineExceeded,
		&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(139, 105, 36, 164), Port: 443}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)},
		&net.DNSError{Err: "no such host", Name: "test.maskinporten.no", IsNotFound: true},
		fmt.Errorf("reading: %w", &os.PathError{Op: "open", Path: "/etc/key.p12", Err: os.ErrNotExist}),
	} {
		assert.True(t, err == Error(err, assertion, "12345678901"), "%v", err)
	}
}

// Whatever the error, nothing in it holds what must not be printed, and the
// rest can be found.
func TestErrorIsCleanThroughout(t *testing.T) {
	foreign := []error{
		errors.New("malformed HTTP response \"" + assertion + "\""),
		errors.New("part " + assertion[30:60]),
		errors.New("about 123456 78901"),
		errors.New("tls: a name\r\nlevel=ERROR msg=forged \x1b[31m"),
		errors.New(strings.Repeat("word ", 1000)),
	}
	for _, inner := range foreign {
		for _, tt := range []struct {
			reason string
			err    error
			finds  func(error) bool
		}{
			{"alone", inner, nil},
			{"in an OpError", &net.OpError{Op: "remote error", Net: "tcp", Err: inner}, finds[*net.OpError]},
			{"in a url.Error", &url.Error{Op: "Post", URL: "https://x/", Err: inner}, finds[*url.Error]},
			{"in a DNSError", &net.DNSError{Err: inner.Error(), Name: "x", IsTimeout: true}, finds[*net.DNSError]},
			{"in the URL", &url.Error{Op: "Post", URL: "https://x/" + inner.Error(), Err: io.EOF}, is(io.EOF)},
			{"of a certificate", &tls.CertificateVerificationError{Err: inner}, finds[*tls.CertificateVerificationError]},
			{"of an unknown authority", &tls.CertificateVerificationError{Err: fmt.Errorf("%w %w", inner, x509.UnknownAuthorityError{})}, finds[x509.UnknownAuthorityError]},
			{"wrapped", fmt.Errorf("sending: %w", inner), nil},
			{"beside a known one", fmt.Errorf("%w %w", inner, context.Canceled), is(context.Canceled)},
			{"joined", errors.Join(inner, io.ErrUnexpectedEOF), is(io.ErrUnexpectedEOF)},
			{"two levels down", &net.OpError{Op: "read", Err: fmt.Errorf("%w: %w", os.NewSyscallError("read", syscall.ECONNRESET), inner)}, is(syscall.ECONNRESET)},
			{"a time-out", timeout{inner}, func(err error) bool {
				var n net.Error
				return errors.As(err, &n) && n.Timeout()
			}},
		} {
			t.Run(tt.reason, func(t *testing.T) {
				got := Error(tt.err, assertion, "12345678901")
				require.True(t, harmless(got, []string{assertion, "12345678901"}), "%v", got)
				require.NotContains(t, fmt.Sprintf("%+v %#v", got, got), assertion[30:60])
				require.NotContains(t, got.Error(), "\n")
				if tt.finds != nil {
					require.True(t, tt.finds(got), "%T", got)
				}
			})
		}
	}
}

type timeout struct{ error }

func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

func finds[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}
