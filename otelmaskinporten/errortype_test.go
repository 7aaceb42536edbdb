package otelmaskinporten

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
)

func TestErrorType(t *testing.T) {
	require.Empty(t, errorType(nil))
	for want, err := range map[string]error{
		"MP-121":        &maskinporten.Error{StatusCode: 400, Code: "invalid_grant", MPCode: "MP-121"},
		"MP-251":        fmt.Errorf("calling: %w", &maskinporten.Error{StatusCode: 400, Code: "forbidden", MPCode: "MP-251"}),
		"invalid_grant": &maskinporten.Error{StatusCode: 400, Code: "invalid_grant"},
		"invalid_scope": &maskinporten.Error{StatusCode: 400, Code: "invalid_scope", MPCode: "MP-999"},
		"400":           &maskinporten.Error{StatusCode: 400, Code: "made_up_910753614"},
		"503":           &maskinporten.Error{StatusCode: 503},
		"timeout":       fmt.Errorf("waiting: %w", context.DeadlineExceeded),
		"canceled":      context.Canceled,
		"unavailable":   maskinporten.ErrUnavailable,
		"_OTHER":        errors.New("the HSM is on fire"),
	} {
		require.Equal(t, want, class(err))
	}
	require.Equal(t, "_OTHER", class(&maskinporten.Error{StatusCode: 200, Code: "made_up"}))
}
