// Package settings gathers what the commands work with: environment variables,
// a file of them, and flags.
//
// It makes one set of MASKINPORTEN_* variables of the three, in this process
// alone, and has the library read that. So the tool takes what a program with
// ConfigFromEnv takes, says the same of it, and a variable that the library
// learns to read works here too.
package settings

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/maskinporten-go/maskinporten"
)

// The variables that a flag stands in for, or that stand against one.
const (
	varEnvironment    = "MASKINPORTEN_ENV"
	varIssuer         = "MASKINPORTEN_ISSUER"
	varTokenURL       = "MASKINPORTEN_TOKEN_ENDPOINT"
	varJWKSURL        = "MASKINPORTEN_JWKS_URI"
	varWellKnown      = "MASKINPORTEN_WELL_KNOWN_URL"
	varClientID       = ClientID
	varKeystore       = "MASKINPORTEN_KEYSTORE_PATH"
	varKeystoreBase64 = "MASKINPORTEN_KEYSTORE_BASE64"
	varPEM            = "MASKINPORTEN_CLIENT_PEM"
	varJWK            = "MASKINPORTEN_CLIENT_JWK"
	varPassword       = "MASKINPORTEN_KEYSTORE_PASSWORD"
	varPasswordFile   = "MASKINPORTEN_KEYSTORE_PASSWORD_FILE"
	varKeyID          = KeyID
	varScopes         = "MASKINPORTEN_SCOPES"
	varConsumerOrg    = "MASKINPORTEN_CONSUMER_ORG"
)

// The variables of the client's id and of its key's.
const (
	ClientID = "MASKINPORTEN_CLIENT_ID"
	KeyID    = "MASKINPORTEN_KEY_ID"
)

// SelfService is the variable with the address of the self-service API, where
// it is not that of the environment, such as of a fake.
const SelfService = "MASKINPORTEN_SELF_SERVICE_URL"

// Known are the variables that the library and this tool read. Their values
// may be printed if Secret does not hold them.
var Known = []string{
	varEnvironment, varWellKnown, varIssuer, varTokenURL, varJWKSURL, varClientID,
	varKeystore, varKeystoreBase64, varPEM, varJWK, varPassword, varPasswordFile, varKeyID,
	varScopes, varConsumerOrg, SelfService,
}

// Secret are the variables whose values are never printed.
var Secret = []string{varKeystoreBase64, varPEM, varJWK, varPassword}

// Flags are the flags that all commands share; the zero value leaves all to
// the variables.
type Flags struct {
	EnvFile      string
	Environment  string // prod, test or the URL of metadata
	ClientID     string
	Keystore     string
	PasswordFile string // - for standard input
	KeyID        string
	Scopes       []string
	ConsumerOrgs []string
	Resource     string
}

// Settings are flags and variables put together.
type Settings struct {
	Flags

	// Notes say what in the variables is probably not meant.
	Notes []string

	// Origin says where each variable has its value from: a flag, the env file
	// or the environment.
	Origin map[string]string

	// WellKnown is the URL of the metadata that says the rest of the
	// environment; empty if the variables say it.
	WellKnown string
}

// Load puts the three together. readPassword reads a password from standard
// input, when a flag says so.
func (f Flags) Load(readPassword func() (string, error)) (*Settings, error) {
	s := &Settings{Flags: f, Origin: make(map[string]string)}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "MASKINPORTEN_") {
			s.Origin[name] = "environment"
		}
	}
	s.Notes = quotedInEnvironment()
	if f.EnvFile != "" {
		if err := s.loadFile(f.EnvFile); err != nil {
			return nil, err
		}
	}
	if err := s.loadFlags(readPassword); err != nil {
		return nil, err
	}
	if s.WellKnown == "" && os.Getenv(varEnvironment) == "" && os.Getenv(varIssuer) == "" && os.Getenv(varTokenURL) == "" {
		if url := os.Getenv(varWellKnown); !inQuotationMarks(url) { // those the library points out
			s.WellKnown = url
		}
	}
	return s, nil
}

func (s *Settings) loadFile(path string) error {
	variables, notes, err := readEnvFile(path)
	if err != nil {
		return err
	}
	s.Notes = append(s.Notes, notes...)
	for name, value := range variables {
		s.set(name, value, "env file")
	}
	return nil
}

func (s *Settings) loadFlags(readPassword func() (string, error)) error {
	const flag = "flag"
	if s.Environment != "" {
		s.clear(varEnvironment, varIssuer, varTokenURL, varJWKSURL, varWellKnown)
		if strings.Contains(s.Environment, "://") {
			s.WellKnown = metadataURL(s.Environment)
		} else {
			s.set(varEnvironment, s.Environment, flag)
		}
	}
	if s.ClientID != "" {
		s.set(varClientID, s.ClientID, flag)
	}
	if s.Keystore != "" {
		s.clear(varKeystore, varKeystoreBase64, varPEM, varJWK)
		s.set(varKeystore, s.Keystore, flag)
	}
	switch s.PasswordFile {
	case "":
	case "-":
		password, err := readPassword()
		if err != nil {
			return fmt.Errorf("reading the password from standard input: %w", err)
		}
		s.clear(varPasswordFile)
		s.set(varPassword, password, flag)
	default:
		s.clear(varPassword)
		s.set(varPasswordFile, s.PasswordFile, flag)
	}
	if s.KeyID != "" {
		s.set(varKeyID, s.KeyID, flag)
	}
	if len(s.Scopes) > 0 {
		s.set(varScopes, strings.Join(s.Scopes, " "), flag)
	}
	if len(s.ConsumerOrgs) > 0 {
		s.clear(varConsumerOrg)
	}
	if len(s.ConsumerOrgs) == 1 {
		s.set(varConsumerOrg, s.ConsumerOrgs[0], flag)
	}
	return nil
}

func (s *Settings) set(name, value, origin string) {
	os.Setenv(name, value)
	s.Origin[name] = origin
}

func (s *Settings) clear(names ...string) {
	for _, name := range names {
		os.Unsetenv(name)
		delete(s.Origin, name)
	}
}

const wellKnownPath = ".well-known/oauth-authorization-server"

// metadataURL is raw, or where the metadata of the issuer raw stands.
func metadataURL(raw string) string {
	if strings.Contains(raw, wellKnownPath) {
		return raw
	}
	return strings.TrimSuffix(raw, "/") + "/" + wellKnownPath
}

// Config is what the library makes of the variables. With metadata to read, it
// asks the server for that first.
func (s *Settings) Config(ctx context.Context) (maskinporten.Config, error) {
	if s.WellKnown == "" {
		return maskinporten.ConfigFromEnv()
	}
	env, err := maskinporten.Discover(ctx, nil, s.WellKnown)
	if err != nil {
		return maskinporten.Config{}, err
	}
	s.SetEnvironment(env)
	return maskinporten.ConfigFromEnv()
}

// Another returns the client of another file of variables, and the address of
// the self-service API in it. What this process has of such variables does not
// count, and is as before afterwards.
func Another(ctx context.Context, path string) (config maskinporten.Config, selfServiceURL string, err error) {
	const prefix = "MASKINPORTEN_"
	before := make(map[string]string)
	for _, entry := range os.Environ() {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, prefix) {
			before[name] = value
			os.Unsetenv(name)
		}
	}
	defer func() {
		for _, entry := range os.Environ() {
			if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, prefix) {
				os.Unsetenv(name)
			}
		}
		for name, value := range before {
			os.Setenv(name, value)
		}
	}()
	s, err := Flags{EnvFile: path}.Load(func() (string, error) { return "", errors.New("no password is read for it") })
	if err != nil {
		return config, "", err
	}
	config, err = s.Config(ctx)
	return config, os.Getenv(SelfService), err
}

// SetEnvironment has the library take env, which metadata described.
func (s *Settings) SetEnvironment(env maskinporten.Environment) {
	s.clear(varEnvironment, varWellKnown)
	s.set(varIssuer, env.Issuer, "metadata")
	s.set(varTokenURL, env.TokenURL, "metadata")
	if env.JWKSURL != "" {
		s.set(varJWKSURL, env.JWKSURL, "metadata")
	}
}

// Request is what the variables and flags ask for: one token.
func (s *Settings) Request() (maskinporten.Request, error) {
	if len(s.ConsumerOrgs) > 1 {
		return maskinporten.Request{}, errors.New("a token is for one customer: give --consumer-org once")
	}
	r, err := maskinporten.RequestFromEnv()
	r.Resource = s.Resource
	return r, err
}

// AllScopes are the single scopes of the variables and flags.
func (s *Settings) AllScopes() []string {
	var scopes []string
	for _, scope := range strings.Fields(os.Getenv(varScopes)) {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// Customers are the organisations of the variables and flags.
func (s *Settings) Customers() []string {
	if len(s.ConsumerOrgs) > 0 {
		return s.ConsumerOrgs
	}
	if org := os.Getenv(varConsumerOrg); org != "" {
		return []string{org}
	}
	return nil
}

// KnownEnvironment is the environment of the variables and flags, and the URL of
// its metadata, as far as they say. If only the metadata's URL is known, the
// rest is as Maskinporten has it, until the metadata is read.
func (s *Settings) KnownEnvironment() (env maskinporten.Environment, wellKnown string) {
	if s.WellKnown != "" {
		before, after, _ := strings.Cut(s.WellKnown, wellKnownPath)
		issuer := before + strings.TrimPrefix(after, "/")
		for _, known := range []maskinporten.Environment{maskinporten.Prod, maskinporten.Test} {
			if known.Issuer == issuer {
				return known, s.WellKnown
			}
		}
		return maskinporten.Environment{Issuer: issuer, TokenURL: before + "token", JWKSURL: before + "jwk"}, s.WellKnown
	}
	switch strings.ToLower(strings.TrimSpace(os.Getenv(varEnvironment))) {
	case "prod":
		env = maskinporten.Prod
	case "test":
		env = maskinporten.Test
	default:
		env = maskinporten.Environment{Issuer: os.Getenv(varIssuer), TokenURL: os.Getenv(varTokenURL), JWKSURL: os.Getenv(varJWKSURL)}
	}
	if env.Issuer == "" || env.TokenURL == "" {
		return maskinporten.Environment{}, ""
	}
	return env, metadataURL(env.Issuer)
}

// DiscoveredEnvironment is KnownEnvironment, with the metadata read if it says
// what the environment is.
func (s *Settings) DiscoveredEnvironment(ctx context.Context) (maskinporten.Environment, error) {
	if s.WellKnown != "" {
		return maskinporten.Discover(ctx, nil, s.WellKnown)
	}
	env, _ := s.KnownEnvironment()
	if env == (maskinporten.Environment{}) {
		return env, errors.New("the environment is not known: give --env, or set " + varEnvironment)
	}
	return env, nil
}
