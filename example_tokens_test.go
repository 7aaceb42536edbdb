package maskinporten_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

func ExampleClient_Token() {
	fake := maskinportentest.New() // in production: the Config of your own client
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	request := maskinporten.Request{Scope: "skatteetaten:inntekt"}
	for range 3 {
		token, err := client.Token(context.Background(), request)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.Scope())
	}
	fmt.Println("fetches:", client.Stats().Fetches)
	// Output:
	// skatteetaten:inntekt
	// skatteetaten:inntekt
	// skatteetaten:inntekt
	// fetches: 1
}

// A supplier acts for a customer that has delegated the scope to it in Altinn.
func ExampleRequest_consumerOrg() {
	fake := maskinportentest.New()
	fake.Undelegate("skatteetaten:inntekt", "313367002", maskinportentest.DefaultOrgNumber)
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.Token(context.Background(), maskinporten.Request{Scope: "skatteetaten:inntekt", ConsumerOrg: "313367002"})
	if errors.Is(err, maskinporten.ErrNotDelegated) {
		fmt.Println("ask the customer to delegate the scope in Altinn")
	}
	// Output: ask the customer to delegate the scope in Altinn
}

// A program that asks for the same token again and again makes a TokenSource
// of it once. It is an oauth2.TokenSource, too.
func ExampleClient_TokenSource() {
	client, err := maskinporten.New(maskinportentest.New().Config())
	if err != nil {
		log.Fatal(err)
	}
	source, err := client.TokenSource(maskinporten.Request{Scope: "skatteetaten:inntekt"})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	token, err := source.TokenContext(ctx)
	if err != nil {
		log.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://inntekt.api.skatteetaten-test.no/v1", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.AccessToken())
	fmt.Println(token.Scope())
	// Output: skatteetaten:inntekt
}

// ticketOffice trades Maskinporten tokens for tickets, which live for an hour.
type ticketOffice struct{ address string }

func (o ticketOffice) Exchange(ctx context.Context, hc *http.Client, t *maskinporten.Token, r maskinporten.Request) (maskinporten.ExchangedToken, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.address, nil)
	if err != nil {
		return maskinporten.ExchangedToken{}, err
	}
	req.Header.Set("Authorization", "Bearer "+t.AccessToken())
	resp, err := hc.Do(req)
	if err != nil {
		return maskinporten.ExchangedToken{}, err
	}
	defer resp.Body.Close()
	ticket, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	switch {
	case err != nil:
		return maskinporten.ExchangedToken{}, err
	case resp.StatusCode == http.StatusUnauthorized:
		return maskinporten.ExchangedToken{}, fmt.Errorf("the ticket office: %w", maskinporten.ErrTokenRejected)
	case resp.StatusCode != http.StatusOK:
		return maskinporten.ExchangedToken{}, fmt.Errorf("the ticket office: %s", resp.Status)
	}
	return maskinporten.ExchangedToken{AccessToken: string(ticket), Lifetime: time.Hour}, nil
}

// Some APIs take other tokens, traded for Maskinporten's. Package altinn has
// Altinn's exchange; this is one of one's own.
func ExampleClient_WithExchange() {
	fake := maskinportentest.New()
	fake.Handle("tickets.example.no", fake.Guard("tickets:buy", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "ticket-1")
	})))
	cfg := fake.Config()
	cfg.HTTPClient = &http.Client{Transport: fake.Transport()}
	client, err := maskinporten.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	tickets := client.WithExchange(ticketOffice{"https://tickets.example.no/"})
	for range 2 {
		ticket, err := tickets.Token(context.Background(), maskinporten.Request{Scope: "tickets:buy"})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ticket.AccessToken())
	}
	fmt.Println("trades:", tickets.Stats().Fetches)
	// Output:
	// ticket-1
	// ticket-1
	// trades: 1
}

// A supplier gets the tokens of all its customers at start-up. What fails for
// one has no effect on the others.
func ExampleClient_Prefetch() {
	fake := maskinportentest.New()
	fake.Undelegate("skatteetaten:inntekt", "974760673", maskinportentest.DefaultOrgNumber)
	client, err := maskinporten.New(fake.Config())
	if err != nil {
		log.Fatal(err)
	}
	var requests []maskinporten.Request
	for _, customer := range []string{"313367002", "974760673", "991825827"} {
		requests = append(requests, maskinporten.Request{Scope: "skatteetaten:inntekt", ConsumerOrg: customer})
	}
	err = client.Prefetch(context.Background(), requests, 2, nil)
	var failed *maskinporten.PrefetchError
	if errors.As(err, &failed) {
		for request, err := range failed.Failed {
			fmt.Println(request.ConsumerOrg, errors.Is(err, maskinporten.ErrNotDelegated))
		}
	}
	// Output: 974760673 true
}
