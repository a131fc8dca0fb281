package local

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/agenttrader/agenttrader/pkg/telemetry"
)

// flushLimit bounds the wait for a receiver of telemetry at the end of a run.
const flushLimit = 5 * time.Second

// telling is the telemetry of the three services; nil where there is none.
type telling struct{ fanout, syncer, signaler *telemetry.Telemetry }

// tells opens the services' telemetry. It is sent last of all, so that it has what the services do while they end.
func (p *platform) tells(ctx context.Context) (t telling, err error) {
	run := "local/" + uuid.NewString() // the ticks of two runs may be the same minutes
	for name, to := range map[string]**telemetry.Telemetry{"fanout": &t.fanout, "syncer": &t.syncer, "signaler": &t.signaler} {
		tel, err := telemetry.Open(ctx, p.opts.telemetry(), telemetry.Source{Service: name, Platform: run}, p.now, p.log)
		if err != nil {
			return t, err
		}
		*to = tel
		p.onClose(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushLimit)
			defer cancel()
			if err := tel.Close(ctx); err != nil {
				p.log.WarnContext(ctx, err.Error(), "service", name)
			}
		})
	}
	return t, nil
}

func (o Options) telemetry() telemetry.Config {
	cfg := telemetry.DefaultConfig()
	if o.OTLP != "" {
		cfg.To, cfg.Endpoint, cfg.Sample, cfg.Interval = telemetry.OTLP, o.OTLP, o.Traced, 10*time.Second
	}
	return cfg
}

// telemetryEnv is the same for processes.
func (o Options) telemetryEnv() []string {
	cfg := o.telemetry()
	return []string{
		"TELEMETRY=" + cfg.To, "OTEL_EXPORTER_OTLP_ENDPOINT=" + cfg.Endpoint, fmt.Sprint("TRACE_SAMPLE=", cfg.Sample), "METRICS_INTERVAL=" + cfg.Interval.String(),
	}
}
