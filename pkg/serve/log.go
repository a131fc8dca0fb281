package serve

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/term"
)

// Source says whose logs they are.
type Source struct {
	Service  string // "syncer"
	Project  string // the Google Cloud project, which traces belong to; "": not known
	Revision string // of the service; "": not known
}

// NewLogger logs lines of JSON with Cloud Logging's field names, or text for a person at a terminal. A line of a traced
// request names its trace; an error is one for Error Reporting.
// https://cloud.google.com/logging/docs/structured-logging
func NewLogger(w io.Writer, c Config, from Source) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" || (c.LogFormat == "" && isTerminal(w)) {
		return slog.New(slog.NewTextHandler(w, opts)).With("service", from.Service)
	}
	opts.ReplaceAttr = cloudNames
	return slog.New(&cloudHandler{slog.NewJSONHandler(w, opts), from}).With("service", from.Service)
}

// cloudHandler adds what Google Cloud takes from a line beside its text.
type cloudHandler struct {
	slog.Handler
	from Source
}

// Handle implements slog.Handler.
func (h *cloudHandler) Handle(ctx context.Context, r slog.Record) error {
	span := trace.SpanContextFromContext(ctx)
	isTraced, isError := span.HasTraceID() && h.from.Project != "", r.Level >= slog.LevelError
	if isTraced || isError {
		r = r.Clone()
	}
	if isTraced {
		r.AddAttrs(
			slog.String("logging.googleapis.com/trace", "projects/"+h.from.Project+"/traces/"+span.TraceID().String()),
			slog.String("logging.googleapis.com/spanId", span.SpanID().String()),
			slog.Bool("logging.googleapis.com/trace_sampled", span.IsSampled()))
	}
	if isError {
		r.AddAttrs(h.report(r.PC)...)
	}
	return h.Handler.Handle(ctx, r)
}

// report makes an error event of a line: where it was logged stands for the stack, unless the line has one.
// https://cloud.google.com/error-reporting/docs/formatting-error-messages
func (h *cloudHandler) report(pc uintptr) []slog.Attr {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return []slog.Attr{
		slog.String("@type", "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"),
		slog.Group("serviceContext", slog.String("service", h.from.Service), slog.String("version", h.from.Revision)),
		slog.Group("context", slog.Group("reportLocation",
			slog.String("filePath", frame.File), slog.Int("lineNumber", frame.Line), slog.String("functionName", frame.Function))),
	}
}

// WithAttrs implements slog.Handler.
func (h *cloudHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &cloudHandler{h.Handler.WithAttrs(attrs), h.from}
}

// WithGroup implements slog.Handler.
func (h *cloudHandler) WithGroup(name string) slog.Handler {
	return &cloudHandler{h.Handler.WithGroup(name), h.from}
}

func cloudNames(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.LevelKey:
		level, _ := a.Value.Any().(slog.Level)
		return slog.String("severity", severity(level))
	case slog.MessageKey:
		a.Key = "message"
	}
	return a
}

func severity(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "ERROR"
	case l >= slog.LevelWarn:
		return "WARNING"
	case l >= slog.LevelInfo:
		return "INFO"
	}
	return "DEBUG"
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
