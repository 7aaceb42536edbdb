package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/maskinporten-go/maskinporten"
)

func (t *tool) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Get a token and print it",
		Long: `token gets an access token and prints it to standard output, where only a program should read it.

-o text prints the bare token, json what the token endpoint says of it, header a line for curl -H @-, and exec-credential what
Kubernetes reads from a credential plugin.`,
		Example: `  curl -H "Authorization: Bearer $(maskinporten token --scope skatteetaten:inntekt)" https://…
  maskinporten token -o header --scope skatteetaten:inntekt | curl -H @- https://…
  maskinporten token -o json --scope skatteetaten:inntekt --consumer-org 910753614`,
		Args:        cobra.NoArgs,
		Annotations: map[string]string{"outputs": "header exec-credential"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return t.token(cmd.Context()) },
	}
	t.clientFlags(cmd)
	return cmd
}

// tokenResult is a token as JSON: the fields of the token endpoint's answer (RFC
// 6749, section 5.1), and when it expires.
type tokenResult struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	ExpiresIn   int       `json:"expires_in"`
	ExpiresAt   time.Time `json:"expires_at"`
	Scope       string    `json:"scope"`
}

// execCredential is what Kubernetes reads
// (https://kubernetes.io/docs/reference/config-api/client-authentication.v1/).
type execCredential struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Status     struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expirationTimestamp"`
	} `json:"status"`
}

// attempts is how often the library tries, within the time of one flight.
const attempts = 3

func (t *tool) token(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attempts*t.timeout)
	defer cancel()
	client, settings, err := t.client(ctx)
	if err != nil {
		return err
	}
	request, err := settings.Request()
	if err != nil {
		return err
	}
	token, err := client.Token(ctx, request)
	if err != nil {
		return err
	}
	return t.printToken(token)
}

func (t *tool) printToken(token *maskinporten.Token) error {
	expires := token.Expiry().UTC().Truncate(time.Second)
	switch t.output {
	case "json":
		return t.console.Object(tokenResult{
			AccessToken: token.AccessToken(),
			TokenType:   "Bearer",
			ExpiresIn:   int(time.Until(token.Expiry()).Round(time.Second).Seconds()),
			ExpiresAt:   expires,
			Scope:       token.Scope(),
		})
	case "header":
		t.console.Print("Authorization: Bearer %s", token.AccessToken())
	case "exec-credential":
		credential := execCredential{APIVersion: "client.authentication.k8s.io/v1", Kind: "ExecCredential"}
		credential.Status.Token, credential.Status.Expires = token.AccessToken(), expires
		return t.console.Object(credential)
	default:
		t.console.Print("%s", token.AccessToken())
	}
	return nil
}
