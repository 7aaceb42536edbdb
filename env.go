package maskinporten

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// The variables that ConfigFromEnv and RequestFromEnv read; NAIS injects some
// of them, maskinporten-cli reads others.
const (
	envEnvironment  = "MASKINPORTEN_ENV"
	envIssuer       = "MASKINPORTEN_ISSUER"
	envTokenURL     = "MASKINPORTEN_TOKEN_ENDPOINT"
	envJWKSURL      = "MASKINPORTEN_JWKS_URI"
	envWellKnown    = "MASKINPORTEN_WELL_KNOWN_URL"
	envClientID     = "MASKINPORTEN_CLIENT_ID"
	envKeystore     = "MASKINPORTEN_KEYSTORE_PATH"
	envPassword     = "MASKINPORTEN_KEYSTORE_PASSWORD"
	envPasswordFile = "MASKINPORTEN_KEYSTORE_PASSWORD_FILE"
	envJWK          = "MASKINPORTEN_CLIENT_JWK"
	envKeyID        = "MASKINPORTEN_KEY_ID"
	envScopes       = "MASKINPORTEN_SCOPES"
	envConsumerOrg  = "MASKINPORTEN_CONSUMER_ORG"
)

// ConfigFromEnv makes a Config from environment variables:
//
//   - MASKINPORTEN_ENV (prod or test), or MASKINPORTEN_ISSUER with
//     MASKINPORTEN_TOKEN_ENDPOINT (and MASKINPORTEN_JWKS_URI, if tokens are verified);
//   - MASKINPORTEN_CLIENT_ID;
//   - MASKINPORTEN_KEYSTORE_PATH (PKCS#12 or PEM, read again when it changes) with
//     MASKINPORTEN_KEYSTORE_PASSWORD or MASKINPORTEN_KEYSTORE_PASSWORD_FILE,
//     or MASKINPORTEN_CLIENT_JWK (a private JWK, as NAIS injects it);
//   - MASKINPORTEN_KEY_ID, if the keystore's certificate is registered on the client.
//
// The keystore is opened once, so that a wrong path or password is seen at
// start. The error names all that is missing or contradictory, not only the
// first; each is a *[FieldError].
func ConfigFromEnv() (Config, error) {
	var (
		cfg  Config
		errs []error
	)
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	cfg.Environment, err = environmentFromEnv()
	keep(err)
	cfg.ClientID = os.Getenv(envClientID)
	keep(checkClientID(envClientID, cfg.ClientID))
	cfg.Credential, err = credentialFromEnv()
	keep(err)
	if len(errs) > 0 {
		return Config{}, errors.Join(errs...)
	}
	return cfg, nil
}

// RequestFromEnv makes a Request from MASKINPORTEN_SCOPES (separated by
// spaces) and, when set, MASKINPORTEN_CONSUMER_ORG. The error is a *[FieldError].
func RequestFromEnv() (Request, error) {
	r := Request{Scope: os.Getenv(envScopes), ConsumerOrg: os.Getenv(envConsumerOrg)}
	if r.Scope == "" {
		return Request{}, invalid(envScopes, "is not set: give the scopes, separated by spaces")
	}
	if err := r.Validate(); err != nil {
		return Request{}, err
	}
	return r, nil
}

func environmentFromEnv() (Environment, error) {
	name := strings.ToLower(strings.TrimSpace(os.Getenv(envEnvironment)))
	own := Environment{Issuer: os.Getenv(envIssuer), TokenURL: os.Getenv(envTokenURL), JWKSURL: os.Getenv(envJWKSURL)}
	var named Environment
	switch name {
	case "":
		if own.Issuer == "" && own.TokenURL == "" {
			if os.Getenv(envWellKnown) != "" {
				return own, invalid(envEnvironment, "is not set, and "+envWellKnown+" alone is not read here: set "+envIssuer+" and "+envTokenURL+" too, or call Discover with it")
			}
			return own, invalid(envEnvironment, "is not set: give prod or test, or set "+envIssuer+" and "+envTokenURL)
		}
		if own.Issuer == "" {
			return own, invalid(envIssuer, "is not set, but "+envTokenURL+" is: the two go together")
		}
		if own.TokenURL == "" {
			return own, invalid(envTokenURL, "is not set, but "+envIssuer+" is: the two go together")
		}
		return own, own.validate()
	case "prod":
		named = Prod
	case "test":
		named = Test
	default:
		return own, invalid(envEnvironment, fmt.Sprintf("is %q: give prod or test", redact.Clean(name, 40)))
	}
	for _, other := range []struct{ variable, says, named string }{
		{envIssuer, own.Issuer, named.Issuer}, {envTokenURL, own.TokenURL, named.TokenURL}, {envJWKSURL, own.JWKSURL, named.JWKSURL},
	} {
		if other.says != "" && other.says != other.named {
			return own, invalid(envEnvironment, "says "+name+", but "+other.variable+" says another: set one of them")
		}
	}
	return named, nil
}

func credentialFromEnv() (CredentialSource, error) {
	var (
		path         = os.Getenv(envKeystore)
		passwordFile = os.Getenv(envPasswordFile)
		jwk          = os.Getenv(envJWK)
		kid          = os.Getenv(envKeyID)
	)
	password, hasPassword := os.LookupEnv(envPassword)
	switch {
	case path == "" && jwk == "":
		return nil, invalid(envKeystore, "is not set: give the path of the virksomhetssertifikat's .p12 file, or set "+envJWK)
	case path != "" && jwk != "":
		return nil, invalid(envKeystore, "and "+envJWK+" are both set: set one of them")
	case hasPassword && passwordFile != "":
		return nil, invalid(envPassword, "and "+envPasswordFile+" are both set: set one of them")
	case jwk != "":
		cred, err := LoadJWK([]byte(jwk))
		if err != nil {
			return nil, invalidBecause(envJWK, err)
		}
		if kid != "" && kid != cred.key.ID {
			return nil, invalid(envKeyID, "differs from the kid in "+envJWK+": leave it out")
		}
		return cred, nil
	}
	source := &fileSource{file: keystore.StoreFile(path, password, passwordFile, kid)}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := source.Credential(ctx)
	switch {
	case err == nil:
		return source, nil
	case errors.Is(err, ErrWrongPassword) && passwordFile != "":
		return nil, invalidBecause(envPasswordFile, err)
	case errors.Is(err, ErrWrongPassword) && !hasPassword:
		return nil, invalid(envPassword, "is not set, and the keystore does not open without a password: set it, or "+envPasswordFile)
	case errors.Is(err, ErrWrongPassword):
		return nil, invalidBecause(envPassword, err)
	}
	return nil, invalidBecause(envKeystore, err)
}
