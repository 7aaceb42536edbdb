// Command maskinporten finds out why tokens fail, and does the daily work
// around them: tokens for scripts, a look into keystores, which customers have
// delegated, keys, and a Maskinporten to test against.
//
// See docs/tool.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}
