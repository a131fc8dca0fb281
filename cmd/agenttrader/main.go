// Command agenttrader runs AgentTrader on a laptop and, as it grows, operates it in the cloud.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "agenttrader: %s\n", oneLine(err))
		os.Exit(1)
	}
}
