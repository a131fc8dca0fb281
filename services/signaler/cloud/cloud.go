// Package cloud makes a signaler on Google Cloud, for its own program and for the operator's.
package cloud

import (
	"context"
	"log/slog"
	"time"

	"github.com/agenttrader/agenttrader/pkg/advice"
	"github.com/agenttrader/agenttrader/pkg/broker/alpaca"
	"github.com/agenttrader/agenttrader/pkg/gcp"
	"github.com/agenttrader/agenttrader/pkg/gemini"
	"github.com/agenttrader/agenttrader/pkg/serve"
	"github.com/agenttrader/agenttrader/pkg/store"
	"github.com/agenttrader/agenttrader/pkg/strategy"
	"github.com/agenttrader/agenttrader/pkg/telemetry"
	"github.com/agenttrader/agenttrader/pkg/wire"
	"github.com/agenttrader/agenttrader/services/signaler"
)

// Settings are what the environment says of a signaler, but for how it is served.
type Settings struct {
	Signaler signaler.Config
	Project  gcp.Config
	data     marketData
	models   gemini.Config
	budget   advice.Config
	hosts    alpaca.Hosts
	hours    wire.MarketHours
}

// Read reads them, and what else the caller wants of the environment.
func Read(environ []string, more ...interface{ Validate() error }) (*Settings, error) {
	s := &Settings{
		Signaler: signaler.DefaultConfig(), data: defaultMarketData(), models: gemini.DefaultConfig(), budget: advice.DefaultConfig(), hosts: alpaca.DefaultHosts(),
	}
	return s, serve.ReadEnv(environ, append(more, &s.Signaler, &s.Project, &s.data, &s.models, &s.budget, &s.hosts, &s.hours)...)
}

// Open makes the service on an opened project. tel may be nil.
func (s *Settings) Open(ctx context.Context, project *gcp.Cloud, log *slog.Logger, tel *telemetry.Telemetry) (*signaler.Service, error) {
	db, err := project.Firestore(ctx)
	if err != nil {
		return nil, err
	}
	quotes, bars, err := s.data.open(ctx, project, tel)
	if err != nil {
		return nil, err
	}
	users := store.New(tel.DB(db))
	var advisor strategy.Advisor
	if s.models.Location != "" {
		model, err := gemini.New(ctx, s.models, s.Project.ProjectID(), nil)
		if err != nil {
			return nil, err
		}
		advisor = &advice.Budget{Config: s.budget, Next: tel.Advisor(model), Tally: users, Now: time.Now}
	}
	var hours signaler.Hours
	if s.hours.User != "" {
		timetable, err := s.hours.Timetable(ctx, project, s.hosts, users, func(err error) { log.ErrorContext(ctx, "market hours are not known", "error", err) })
		if err != nil {
			return nil, err
		}
		hours = timetable.Trading
	}
	return signaler.New(s.Signaler, signaler.Deps{
		Snapshots: users, Strategies: users, Signals: tel.Book(users), Controls: users, Records: users, Quotes: quotes, Bars: bars, Hours: hours, Advisor: advisor, Now: time.Now, Clock: db.Clock,
		Fault: func(ctx context.Context, userID string, err error) {
			log.WarnContext(ctx, err.Error(), "user_id", userID)
		},
	})
}
