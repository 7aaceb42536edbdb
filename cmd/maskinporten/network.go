package main

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strings"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// isNetwork reports whether err is about something that did not answer, or not
// as it should.
func isNetwork(err error) bool {
	return errors.As(err, new(*endpoint.NetworkError)) || errors.As(err, new(*net.OpError)) || errors.As(err, new(*net.DNSError)) ||
		errors.Is(err, context.DeadlineExceeded)
}

// list is "a, b or c".
func list(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// clean is the text of an error, without what the library begins each with.
func clean(err error) string { return strings.TrimPrefix(err.Error(), "maskinporten: ") }

// persons are national identity numbers, which nothing prints.
var persons = regexp.MustCompile(`\b\d{11}\b`)
