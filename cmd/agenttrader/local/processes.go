package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// asProcesses starts the three binaries. They find everything by their environment, as in the cloud.
func (p *platform) asProcesses(ctx context.Context) (at endpoints, err error) {
	db, ok := p.db.(*emulated)
	if !ok {
		return at, errors.New("services as processes need --firestore=emulator: they can't share this process's memory")
	}
	custody, err := p.custodyEnv(ctx)
	if err != nil {
		return at, err
	}
	if err := p.openReview(ctx); err != nil {
		return at, err
	}
	p.env = slices.Concat(custody, []string{
		"GCP_PROJECT=" + Project, "FIRESTORE_EMULATOR_HOST=" + db.emulator.Addr(), "PUBSUB_EMULATOR_HOST=" + p.pubsub.Addr(),
		"ALPACA_PAPER_URL=" + p.trading, "ALPACA_LIVE_URL=" + p.trading,
	})
	env := slices.Concat(p.env, []string{
		"GOGC=100", // three share the memory that each would take most of
		"SYNC_TICKS_TOPIC=" + topicTicks, "SYNC_REQUESTS_TOPIC=" + topicRequests, "DEAD_LETTERS_TOPIC=" + topicDead,
		"ALPACA_DATA_URL=" + p.data, "MARKET_DATA_SECRET=" + p.signalerSecret(),
		"LOG_LEVEL=" + p.opts.LogLevel.String(), "LOG_FORMAT=json",
	})
	if len(p.accounts) > 0 {
		env = append(env, "MARKET_DATA_USER="+p.accounts[0].userID)
	}
	env = append(env, p.opts.telemetryEnv()...)
	urls := map[string]*string{"fanout": &at.fanout, "syncer": &at.syncer, "signaler": &at.signaler}
	for _, name := range []string{"fanout", "syncer", "signaler"} {
		s, err := startProcess(ctx, name, p.opts.Binaries, env, p.opts.Logs, p.log)
		if err != nil {
			return at, err
		}
		p.onClose(s.stop)
		p.processes = append(p.processes, s)
		*urls[name] = s.url
	}
	if at.syncer, err = p.journal(ctx, at.syncer); err != nil {
		return at, err
	}
	p.announce(db)
	return at, nil
}

// signalerSecret: without a server of market data beside another broker, Alpaca's own is not asked.
func (p *platform) signalerSecret() string {
	if p.data == "" {
		return "none"
	}
	return dataSecret
}

// announce says where everything is.
func (p *platform) announce(db *emulated) {
	for _, s := range p.processes {
		_, _ = fmt.Fprintf(p.opts.Logs, "%-10s %s  pid %d\n", s.name, s.url, s.pid())
	}
	_, _ = fmt.Fprintf(p.opts.Logs, "%-10s http://%s  project %s\n%-10s %s\n", "firestore", db.emulator.Addr(), Project, "broker", p.trading)
	_, _ = fmt.Fprintf(p.opts.Logs, "%-10s export %s\n", "commands", strings.Join(p.env, " "))
}

// restarted says that a service had to be started again.
func (p *platform) restarted(name string) bool {
	for _, s := range p.processes {
		s.mu.Lock()
		again := s.restarts > 0
		s.mu.Unlock()
		if s.name == name && again {
			return true
		}
	}
	return false
}
