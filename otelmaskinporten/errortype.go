package otelmaskinporten

import (
	"context"
	"errors"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/maskinporten-go/maskinporten"
)

// known are the codes that become an error.type. A server may make up others,
// each of which would be a time series.
var known = map[string]bool{
	// https://docs.digdir.no/docs/Maskinporten/maskinporten_guide_apikonsument, error codes
	"MP-011": true, "MP-012": true, "MP-100": true, "MP-101": true, "MP-110": true, "MP-120": true, "MP-121": true,
	"MP-122": true, "MP-123": true, "MP-124": true, "MP-130": true, "MP-200": true, "MP-201": true, "MP-250": true,
	"MP-251": true, "MP-301": true, "MP-302": true, "MP-303": true,

	// RFC 6749 §5.2, RFC 8707 §2, RFC 9396 §5, and Maskinporten's own
	"invalid_request": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true,
	"unsupported_grant_type": true, "invalid_scope": true, "invalid_target": true, "invalid_authorization_details": true,
	"forbidden": true, "invalid_altinn_customer_configuration": true,
}

// errorType returns error.type for err, and nothing for nil.
func errorType(err error) []attribute.KeyValue {
	if err == nil {
		return nil
	}
	return []attribute.KeyValue{semconv.ErrorTypeKey.String(class(err))}
}

func class(err error) string {
	var refusal *maskinporten.Error
	switch {
	case errors.As(err, &refusal) && known[refusal.MPCode]:
		return refusal.MPCode
	case errors.As(err, &refusal) && known[refusal.Code]:
		return refusal.Code
	case errors.As(err, &refusal) && refusal.StatusCode >= 400 && refusal.StatusCode < 600:
		return strconv.Itoa(refusal.StatusCode)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, maskinporten.ErrUnavailable):
		return "unavailable"
	}
	return semconv.ErrorTypeOther.Value.AsString()
}
