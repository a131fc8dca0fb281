package alpaca

import (
	"errors"
	"fmt"
	"net"
	"net/url"
)

// Hosts are the addresses of Alpaca's trading API.
type Hosts struct {
	Paper string `env:"ALPACA_PAPER_URL"`
	Live  string `env:"ALPACA_LIVE_URL"`
}

// DefaultHosts are Alpaca's own.
func DefaultHosts() Hosts { return Hosts{Paper: DefaultPaperURL, Live: DefaultLiveURL} }

// Validate names every fault.
func (h *Hosts) Validate() error {
	return errors.Join(CheckURL("ALPACA_PAPER_URL", h.Paper), CheckURL("ALPACA_LIVE_URL", h.Live))
}

// CheckURL says what is wrong with the address of a server that is given keys; "" is Alpaca's own. name is the setting.
func CheckURL(name, s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err == nil && u.User != nil {
		return fmt.Errorf("%s is %.200q: an address takes no user and no password", name, u.Redacted())
	}
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%s is %.200q: want an address like %s", name, s, DefaultPaperURL)
	}
	if u.Scheme == "http" && !IsLoopback(s) {
		return fmt.Errorf("%s is %.200q: keys go to another machine by https only", name, s)
	}
	return nil
}

// IsLoopback says that an address leads to this machine.
func IsLoopback(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback())
}
