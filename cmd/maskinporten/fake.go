package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten/apis/apistest"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// fakeServer is what `fake` is asked for.
type fakeServer struct {
	listen, url, config, writeEnv, client string
	tls, strict                           bool
}

func (t *tool) fakeCommand() *cobra.Command {
	var f fakeServer
	cmd := &cobra.Command{
		Use:   "fake",
		Short: "Run a Maskinporten to test against, for clients in any language",
		Long: `fake runs a Maskinporten that judges grants as the real one does and issues signed tokens, with Altinn's exchange, the
self-service API and the known APIs beside it. It prints the variables that make a client use it, and writes them to a file if told to, with a
keystore and its password; and to standard error a line for each grant, with its verdict and all its claims.

It takes what Maskinporten is known to take although Digdir's pages do not allow it, and says so; --strict refuses that.
--config names a JSON file with clients, keys, CAs, scopes, delegations, lifetimes and faults: see docs/tool.md.`,
		Example: `  maskinporten fake --write-env maskinporten.env
  maskinporten fake --tls --config fake.json --strict
  maskinporten doctor --env-file maskinporten.env --scope skatteetaten:inntekt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return t.fake(cmd.Context(), f) },
	}
	cmd.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8085", "`ADDRESS` to listen on; port 0 takes a free one")
	cmd.Flags().StringVar(&f.url, "url", "", "`URL` that clients call it by, if that is another, as in a network of containers")
	cmd.Flags().BoolVar(&f.tls, "tls", false, "serve over TLS, with a CA of its own (SSL_CERT_FILE)")
	cmd.Flags().StringVar(&f.config, "config", "", "`FILE` that says what there is")
	cmd.Flags().BoolVar(&f.strict, "strict", false, "refuse what Digdir's pages do not allow")
	cmd.Flags().StringVar(&f.writeEnv, "write-env", "", "`FILE` to write the variables to; keystore and CA go to FILE.d")
	cmd.Flags().StringVar(&f.client, "client-id", maskinportentest.DefaultClientID, "`ID` of the client that the variables are for")
	return cmd
}

func (t *tool) fake(ctx context.Context, f fakeServer) error {
	listener, err := net.Listen("tcp", f.listen)
	if err != nil {
		return fmt.Errorf("--listen: %v", err) // not wrapped: it is this machine that is in the way
	}
	defer listener.Close()
	url, host, err := f.address(listener.Addr())
	if err != nil {
		return err
	}
	fake := maskinportentest.NewAt(url)
	if !f.strict {
		fake.AsDeployed()
	}
	if f.config != "" {
		if err := fake.Configure(f.config); err != nil {
			return err
		}
	}
	known := apistest.New(fake)
	var mu sync.Mutex
	fake.OnGrant(func(g maskinportentest.Grant) {
		mu.Lock()
		defer mu.Unlock()
		t.printGrant(g)
	})
	variables, remove, err := f.variables(fake)
	if err != nil {
		return err
	}
	defer remove()
	server := &http.Server{Handler: fake, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: 10 * time.Second}
	if f.tls {
		server.TLSConfig = fake.TLSConfig(host)
	}
	if err := t.printVariables(variables); err != nil {
		return err
	}
	t.console.Note("%s", f.announce(url))
	for _, api := range known.All() {
		t.console.Note("  %s: %s", api.API().Name, api.URL())
	}
	ended := make(chan error, 1)
	go func() {
		if f.tls {
			ended <- server.ServeTLS(listener, "", "")
		} else {
			ended <- server.Serve(listener)
		}
	}()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return server.Close()
	}
}

// address is the URL that clients call, and the name or address in it.
func (f fakeServer) address(listening net.Addr) (url, host string, err error) {
	scheme := "http"
	if f.tls {
		scheme = "https"
	}
	url = f.url
	if url == "" {
		tcp := listening.(*net.TCPAddr)
		if tcp.IP.IsUnspecified() {
			tcp = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}
		}
		url = scheme + "://" + tcp.String()
	}
	if !strings.HasPrefix(url, scheme+"://") {
		return "", "", usageError{fmt.Errorf("--url begins with %s://, as --tls says", scheme)}
	}
	host = strings.TrimPrefix(url, scheme+"://")
	host, _, _ = strings.Cut(host, "/")
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host == "" {
		return "", "", usageError{errors.New("--url names no host")}
	}
	return strings.TrimSuffix(url, "/"), host, nil
}

func (f fakeServer) announce(url string) string {
	how := "it takes what Maskinporten is known to take, and notes what Digdir's pages do not allow"
	if f.strict {
		how = "it refuses what Digdir's pages do not allow"
	}
	return fmt.Sprintf("a Maskinporten for tests answers at %s; %s. Interrupt to end it.", url, how)
}

// variables writes the keystore of a client, and the variables that name it. The
// files of a run that did not ask for them go when it ends.
func (f fakeServer) variables(fake *maskinportentest.Fake) (variables map[string]string, remove func(), err error) {
	remove = func() {}
	dir, err := filepath.Abs(f.writeEnv + ".d") // clients may run elsewhere
	if err != nil {
		return nil, nil, err
	}
	if f.writeEnv == "" {
		if dir, err = os.MkdirTemp("", "maskinporten-fake-"); err != nil {
			return nil, nil, err
		}
		remove = func() { os.RemoveAll(dir) }
	}
	variables, err = fake.WriteEnvironment(dir, f.client)
	if err != nil {
		remove()
		return nil, nil, err
	}
	if f.writeEnv == "" {
		return variables, remove, nil
	}
	return variables, remove, writeSecret(f.writeEnv, []byte(envFile(variables)), true)
}

// envFile is variables in the form that --env-file reads.
func envFile(variables map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		// A JWK may be written on several lines; JSON means the same on one.
		fmt.Fprintf(&b, "%s=%s\n", name, strings.Join(strings.Fields(variables[name]), " "))
	}
	return b.String()
}

func (t *tool) printVariables(variables map[string]string) error {
	if t.console.JSON {
		return t.console.Object(variables)
	}
	_, err := io.WriteString(t.console.Out, envFile(variables))
	return err
}

// printGrant says who asked for what, and what became of it, without persons.
func (t *tool) printGrant(g maskinportentest.Grant) {
	t.console.Note("%s %s", g.Time.Format(time.TimeOnly), g)
	header := "alg " + g.Algorithm
	if g.KeyID != "" {
		header += ", kid " + g.KeyID
	}
	if len(g.Chain) > 0 {
		header += fmt.Sprintf(", x5c of %d certificates, the first is %s", len(g.Chain), g.Chain[0].Subject.CommonName)
	}
	t.console.Note("  header: %s", header)
	claims := maps.Clone(g.Claims)
	if _, ok := claims["pid"]; ok {
		claims["pid"] = "[hidden]"
	}
	if encoded, err := json.Marshal(claims); err == nil {
		t.console.Note("  claims: %s", persons.ReplaceAllString(string(encoded), "[hidden]"))
	}
	for _, warning := range g.Warnings {
		t.console.Note("  not as Digdir documents it: %s", warning)
	}
}
