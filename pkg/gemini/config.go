// Package gemini asks Google's Gemini models, by Vertex AI. It implements strategy.Advisor.
package gemini

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"
)

// Config says where the models are.
type Config struct {
	Location string        `env:"GEMINI_LOCATION"` // of Vertex AI, like us-central1; "": no model is asked
	Endpoint string        `env:"GEMINI_ENDPOINT"` // host:port of a stand-in on loopback; "" is Google's
	Timeout  time.Duration `env:"GEMINI_TIMEOUT"`  // for one question, its retry included
}

// DefaultConfig asks no model.
func DefaultConfig() Config { return Config{Timeout: 20 * time.Second} }

// locationForm: the location becomes a part of the host's name.
var locationForm = regexp.MustCompile(`^[a-z]+(-[a-z]+[0-9]{1,2})?$`)

// Validate names every fault.
func (c *Config) Validate() error {
	var errs []error
	if c.Location != "" && !locationForm.MatchString(c.Location) {
		errs = append(errs, fmt.Errorf("GEMINI_LOCATION is %.40q: want a location of Vertex AI, like us-central1 or global", c.Location))
	}
	if c.Endpoint != "" {
		host, _, err := net.SplitHostPort(c.Endpoint)
		if ip := net.ParseIP(host); err != nil || (host != "localhost" && (ip == nil || !ip.IsLoopback())) {
			errs = append(errs, fmt.Errorf("GEMINI_ENDPOINT is %.100q: prompts go unencrypted to loopback only, like 127.0.0.1:9000", c.Endpoint))
		}
	}
	if c.Timeout < time.Second || c.Timeout > 25*time.Second {
		errs = append(errs, fmt.Errorf("GEMINI_TIMEOUT is %s: want 1s to 25s", c.Timeout))
	}
	return errors.Join(errs...)
}

// base is the address. It is always named: the SDK would take GOOGLE_VERTEX_BASE_URL for it, and send our token there.
func (c *Config) base() string {
	switch {
	case c.Endpoint != "":
		return "http://" + c.Endpoint
	case c.Location == "global":
		return "https://aiplatform.googleapis.com"
	case c.Location == "us" || c.Location == "eu":
		return "https://aiplatform." + c.Location + ".rep.googleapis.com"
	}
	return "https://" + c.Location + "-aiplatform.googleapis.com"
}
