package main

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// isNetwork reports whether err is about something that did not answer, or not
// as it should.
func isNetwork(err error) bool {
	var network *endpoint.NetworkError
	var op net.Error
	return errors.As(err, &network) || errors.As(err, &op) || errors.Is(err, context.DeadlineExceeded)
}

// list is "a, b or c".
func list(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
