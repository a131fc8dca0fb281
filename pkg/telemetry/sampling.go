package telemetry

import (
	"context"
	"crypto/sha256"
	"hash/fnv"
	"math/rand/v2"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/agenttrader/agenttrader/pkg/tick"
)

// parent is the name of a trace's context: the extension of an event, and the field of a snapshot.
// https://www.w3.org/TR/trace-context/#traceparent-header
const parent = "traceparent"

// sampled says of a request, by its id, whether it is traced: whoever asks, and however often it comes.
func (t *Telemetry) sampled(id string) bool {
	if t.sample >= 1 {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return float64(mixed(h.Sum64())>>11)/(1<<53) < t.sample
}

// mixed spreads ids that are much alike over all of the range: the end of MurmurHash3, by Austin Appleby.
func mixed(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// ofTick is the trace of a tick: the same for every delivery of it, since the Scheduler's message brings none along.
func ofTick(platform string, t tick.Tick) (id trace.TraceID) {
	sum := sha256.Sum256([]byte("agenttrader tick\x00" + platform + "\x00" + t.String()))
	copy(id[:], sum[:])
	return id
}

type traceKey struct{}

// ids are random, but for the trace of which ctx says what it is.
type ids struct{}

// NewIDs implements sdktrace.IDGenerator.
func (ids) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	id, ok := ctx.Value(traceKey{}).(trace.TraceID)
	if !ok {
		fill(id[:])
	}
	fill(span[:])
	return id, span
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) (span trace.SpanID) {
	fill(span[:])
	return span
}

// fill never leaves all zero, which is no id.
func fill(b []byte) {
	for i := 0; i < len(b); i += 8 {
		v := rand.Uint64() //nolint:gosec // no secret
		for j := range 8 {
			b[i+j] = byte(v >> (8 * j))
		}
	}
	b[0] |= 1
}

// parse reads a traceparent; what is none gives a context that is not valid.
func parse(s string) trace.SpanContext {
	if s == "" {
		return trace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{parent: s}) //nolint:contextcheck // nothing but s counts
	return trace.SpanContextFromContext(ctx)
}

// format is the traceparent of the span of ctx.
func format(ctx context.Context) string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, c)
	return c[parent]
}
