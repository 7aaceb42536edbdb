// Command rotation renews a registered key without a call failing. It is what
// a CronJob or a scheduled task runs once a day.
//
//	go run ./examples/rotation
//
// As it is, it runs against a fake in its own process: it makes an
// integration, registers its first key, gets a token with it, and rotates.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

func main() {
	log.SetFlags(0)
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	fake := maskinportentest.NewServer()
	defer fake.Close()
	folder, err := os.MkdirTemp("", "rotation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	keyFile := filepath.Join(folder, "client.jwk")

	// The admin client signs with the organisation's certificate.
	admin, err := maskinporten.New(fake.Config())
	if err != nil {
		return err
	}
	api, err := selfservice.New(admin, selfservice.Options{BaseURL: fake.SelfService().URL(), Logger: slog.Default()})
	if err != nil {
		return err
	}
	made, err := api.Create(ctx, selfservice.Integration{
		Name: "Pensjon", Description: "Inntekt til pensjon", Scopes: []string{"skatteetaten:inntekt"},
	})
	if err != nil {
		return err
	}

	// The first key. Here everybody reads the file at once, so no grace is needed.
	rotation := selfservice.KeyFile(made.ClientID, keyFile)
	rotation.Grace = time.Nanosecond
	if _, err := api.RotateWhenDue(ctx, rotation); err != nil {
		return err
	}

	// The program that uses the key, which is never restarted.
	client, err := maskinporten.New(maskinporten.Config{
		Environment: fake.Environment(), ClientID: made.ClientID, Credential: maskinporten.JWKFile(keyFile),
	})
	if err != nil {
		return err
	}
	request := maskinporten.Request{Scope: "skatteetaten:inntekt"}
	token, err := client.Token(ctx, request)
	if err != nil {
		return err
	}
	client.Invalidate(token.AccessToken())

	rotated, err := api.Rotate(ctx, rotation)
	if err != nil {
		return err
	}
	if _, err := client.Token(ctx, request); err != nil {
		return err
	}
	fmt.Printf("key %s is in use, %s was removed\n", rotated.KeyID, rotated.Removed)
	keys, err := api.Keys(ctx, made.ClientID)
	if err != nil {
		return err
	}
	for _, key := range keys {
		days, _ := key.DaysLeft(time.Now())
		fmt.Printf("registered: %s, %d days left\n", key.KeyID, days)
	}
	return nil
}
