package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"

	"github.com/agenttrader/agenttrader/pkg/event"
)

// Config is what every service's HTTP side takes from the environment.
type Config struct {
	Host            string     `env:"HOST"`                  // "" is every address: callers must prove who they are
	Port            int        `env:"PORT"`                  // Cloud Run sets it
	LogLevel        slog.Level `env:"LOG_LEVEL"`             // debug, info, warn, error
	LogFormat       string     `env:"LOG_FORMAT"`            // json, text; "" is text on a terminal
	Audience        string     `env:"PUSH_AUDIENCE"`         // the aud claim of callers' identity tokens
	ServiceAccounts []string   `env:"PUSH_SERVICE_ACCOUNTS"` // e-mails of the service accounts that may call
}

// DefaultConfig listens as Cloud Run expects it.
func DefaultConfig() Config { return Config{Port: 8080, LogLevel: slog.LevelInfo} }

// Validate names every fault.
func (c *Config) Validate() error {
	var errs []error
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, fmt.Errorf("PORT is %d: want 1 to 65535, or 0 for any that is free", c.Port))
	}
	if c.LogFormat != "" && c.LogFormat != "json" && c.LogFormat != "text" {
		errs = append(errs, fmt.Errorf("LOG_FORMAT is %q: want json or text", c.LogFormat))
	}
	switch {
	case c.checksCallers():
		errs = append(errs, c.callers().Validate())
	case checkLoopback(c.addr()) != nil:
		errs = append(errs, errors.New("PUSH_AUDIENCE and PUSH_SERVICE_ACCOUNTS are not set: nobody could be told from a stranger. Set both, or HOST=127.0.0.1"))
	}
	return errors.Join(errs...)
}

func (c *Config) addr() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

func (c *Config) checksCallers() bool { return c.Audience != "" || len(c.ServiceAccounts) > 0 }

func (c *Config) callers() event.Callers {
	return event.Callers{Audience: c.Audience, ServiceAccounts: c.ServiceAccounts}
}
