package resourceserver

import (
	"errors"

	"github.com/maskinporten-go/maskinporten/internal/jws"
)

var (
	// ErrTokenInvalid is returned for a token that is not one of the
	// environment's, or not now.
	ErrTokenInvalid = errors.New("maskinporten: the token is not valid")

	// ErrTokenExpired is returned for a token that was valid and whose time is
	// over. Such an error also matches ErrTokenInvalid.
	ErrTokenExpired = errors.New("maskinporten: the token has expired")
)

// tokenError is what is wrong with a token.
type tokenError struct {
	reason  string
	expired bool
}

// tokenErrorOf returns an error of package jws as one of this package's, and
// any other, which says nothing of the token, as it is.
func tokenErrorOf(err error) error {
	var bad *jws.Error
	switch {
	case errors.As(err, &bad):
		return &tokenError{reason: bad.Reason, expired: bad.Expired}
	case errors.Is(err, jws.ErrNotJWT):
		return &tokenError{reason: err.Error()}
	}
	return err
}

func (e *tokenError) Error() string { return ErrTokenInvalid.Error() + ": " + e.reason }

// Is makes it ErrTokenInvalid, and ErrTokenExpired if that is what it is.
func (e *tokenError) Is(target error) bool {
	return target == ErrTokenInvalid || e.expired && target == ErrTokenExpired
}
