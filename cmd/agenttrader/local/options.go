package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/broker/sim"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gcp/emulator"
	"github.com/agenttrader/agenttrader/pkg/market"
	"github.com/agenttrader/agenttrader/pkg/secret"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/user"
)

// Options are the flags of `agenttrader local`.
type Options struct {
	Users     int // 0: none is made up, the users are those whom somebody adds meanwhile; with Binaries
	Ticks     int // 0: until interrupted
	Interval  time.Duration
	Strategy  string // a kind of strategy, "all" or "none"
	Latency   sim.Latency
	Faults    []sim.Fault
	Duplicate float64 // share of all events that is delivered twice
	Reorder   float64 // share of all events that comes late
	AlpacaURL string  // "" is the simulator
	DataURL   string  // "" is the simulator's, or none beside an AlpacaURL
	UsersFile string
	Executor  float64     // share of the users whose executor acts on signals, and who edit their strategy once
	Replay    *sim.Replay // bars of a file in place of the simulator's prices; nil: none
	Seed      uint64
	Firestore string             // Memory or Emulator; "" is Memory
	Custody   string             // of the users' keys: gcp.SecretManager or gcp.Envelope; "" is the former
	Emulator  *emulator.Emulator // nil: one that ends with the run
	Binaries  string             // a folder with the services' binaries: each runs as a process, in real time; "": all in this one
	Logs      io.Writer          // of the processes
	LogLevel  slog.Level         // of the processes
	OTLP      string             // a receiver of telemetry; "": none
	Traced    float64            // share of the requests that are traced there

	chaos *chaos // what goes wrong besides; nil: nothing
}

// Validate names every fault.
func (o Options) Validate() error {
	var errs []error
	switch {
	case o.Users == 0 && o.Binaries == "":
		errs = append(errs, errors.New("--users is 0: only 'agenttrader up', which has the real time, runs without made-up users"))
	case o.Users < 0 || o.Users > 1_000_000:
		errs = append(errs, fmt.Errorf("--users is %d: want 1 to 1000000, or with 'agenttrader up' 0", o.Users))
	}
	if o.Ticks < 0 {
		errs = append(errs, fmt.Errorf("--ticks is %d: want 0 (until interrupted) or more", o.Ticks))
	}
	if o.Interval < 10*time.Millisecond || o.Interval > time.Hour {
		errs = append(errs, fmt.Errorf("--interval is %s: want 10ms to 1h", o.Interval))
	}
	if kinds := append(strategy.Kinds(), "all", "none"); !slices.Contains(kinds, o.Strategy) {
		errs = append(errs, fmt.Errorf("--strategy is %q: want one of %s", o.Strategy, strings.Join(kinds, ", ")))
	}
	if o.Firestore != "" && o.Firestore != Memory && o.Firestore != Emulator {
		errs = append(errs, fmt.Errorf("--firestore is %q: want %s or %s", o.Firestore, Memory, Emulator))
	}
	if o.Custody != "" && o.Custody != gcp.SecretManager && o.Custody != gcp.Envelope {
		errs = append(errs, fmt.Errorf("--custody is %q: want %s or %s", o.Custody, gcp.SecretManager, gcp.Envelope))
	}
	if o.Duplicate < 0 || o.Duplicate > 1 {
		errs = append(errs, fmt.Errorf("--duplicate is %g: want 0%% to 100%%", o.Duplicate))
	}
	if o.Reorder < 0 || o.Reorder > 1 {
		errs = append(errs, fmt.Errorf("--reorder is %g: want 0%% to 100%%", o.Reorder))
	}
	if o.Executor < 0 || o.Executor > 1 {
		errs = append(errs, fmt.Errorf("--executor is %g: want 0%% to 100%%", o.Executor))
	}
	errs = append(errs, alpaca.CheckURL("--alpaca-url", o.AlpacaURL), alpaca.CheckURL("--alpaca-data-url", o.DataURL))
	if o.AlpacaURL != "" && o.Users > 0 && o.UsersFile == "" && !alpaca.IsLoopback(o.AlpacaURL) {
		errs = append(errs, errors.New("--alpaca-url leads to another machine: give the keys to use there with --users-file, or 'agenttrader up' --users 0 and each user's with 'agenttrader keys set'"))
	}
	if o.AlpacaURL != "" && len(o.Faults) > 0 {
		errs = append(errs, errors.New("--fault works on the simulator only: leave out --alpaca-url"))
	}
	if o.AlpacaURL != "" && o.Replay != nil {
		errs = append(errs, errors.New("--bars works on the simulator only: leave out --alpaca-url"))
	}
	if cfg := o.telemetry(); cfg.Validate() != nil {
		errs = append(errs, fmt.Errorf("--otlp, --traced: %w", cfg.Validate()))
	}
	return errors.Join(errs...)
}

// begin is where the platform's clock begins. With a number of ticks, memory and simulator, which have no clock of their
// own, the market's last close lies half-way, so that bars of every timeframe close in the run. With a file of bars the run
// ends where the file does; without a number of ticks it begins half-way, so that strategies find bars of before.
func (o Options) begin(now time.Time) time.Time {
	if o.Replay == nil {
		if o.Ticks == 0 || o.Firestore == Emulator || o.AlpacaURL != "" || o.chaos != nil {
			return now
		}
		return lastClose(now).Add(-time.Duration(o.Ticks/2+1) * time.Minute)
	}
	from, to := o.Replay.Range()
	back := time.Duration(o.Ticks) * time.Minute
	if o.Ticks == 0 || back > to.Sub(from) {
		back = to.Sub(from) / 2
	}
	return to.Add(-back)
}

// lastClose is that of the last trading day whose daily bar is whole.
func lastClose(now time.Time) time.Time {
	at := market.OneDay.LastClose(now)
	for !sim.TradingDay(at) {
		at = market.OneDay.LastClose(at.Add(-time.Second))
	}
	return at
}

// ParseShare reads "10%" or "0.1".
func ParseShare(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("share %q: want something like 10%% or 0.1", s)
	}
	if percent {
		f /= 100
	}
	if !(f >= 0 && f <= 1) {
		return 0, fmt.Errorf("share %q: want 0%% to 100%%", s)
	}
	return f, nil
}

// account is one user of a run, with keys.
type account struct {
	userID string
	creds  secret.Credentials
}

// accounts are those of the users file, or made up from the seed.
func (o Options) accounts() ([]account, error) {
	if o.UsersFile == "" {
		made := make([]account, o.Users)
		for i := range made {
			creds, err := secret.NewCredentials(fmt.Sprintf("PKSIM%07d", i+1), fmt.Sprintf("sim-secret-%d-%d", o.Seed, i+1))
			if err != nil {
				return nil, err
			}
			made[i] = account{userID: fmt.Sprintf("user-%05d", i+1), creds: creds}
		}
		return made, nil
	}
	return readUsersFile(o.UsersFile)
}

// readUsersFile reads a JSON list of {"user_id", "key_id", "secret_key"}. Its errors name the entry, never a key.
func readUsersFile(path string) ([]account, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--users-file: %w", err)
	}
	var entries []struct {
		UserID    string `json:"user_id"`
		KeyID     string `json:"key_id"`
		SecretKey string `json:"secret_key"`
	}
	if err := json.Unmarshal(b, &entries); err != nil {
		return nil, fmt.Errorf(`--users-file %s: want a JSON list of {"user_id": "…", "key_id": "…", "secret_key": "…"}`, path)
	}
	var errs []error
	seen := map[string]bool{}
	read := make([]account, 0, len(entries))
	for i, e := range entries {
		creds, err := secret.NewCredentials(e.KeyID, e.SecretKey)
		if err = errors.Join(err, user.CheckID(e.UserID)); err == nil && seen[e.UserID] {
			err = fmt.Errorf("user id %q is there twice", e.UserID)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--users-file %s, entry %d: %w", path, i+1, err))
		}
		seen[e.UserID] = true
		read = append(read, account{userID: e.UserID, creds: creds})
	}
	if len(entries) == 0 {
		errs = append(errs, fmt.Errorf("--users-file %s: the list is empty", path))
	}
	return read, errors.Join(errs...)
}
