package ua

import (
	"context"
	"log/slog"
	"strings"

	siplib "github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

// sipgo's default logger is a package variable that its parser uses too. It is
// silenced before anything runs; transactions are given the one of their UA.
func init() { siplib.SetDefaultLogger(slog.New(slog.DiscardHandler)) }

// quietHandler passes sipgo's records on one level lower than it logs them, and
// without anything that is a message: what a peer does wrong is not our error,
// and bodies never reach the log.
type quietHandler struct{ next slog.Handler }

func sipgoLogger(log zerolog.Logger) *slog.Logger {
	return slog.New(quietHandler{zerolog.NewSlogHandler(log)})
}

func (h quietHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, lower(l))
}

func lower(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, lower(r.Level), r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(redact(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

// redact shortens everything that is more than one line.
func redact(a slog.Attr) slog.Attr {
	s := a.Value.Resolve().String()
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		return slog.String(a.Key, s[:i]+"…")
	}
	return a
}

func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	safe := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		safe[i] = redact(a)
	}
	return quietHandler{h.next.WithAttrs(safe)}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.next.WithGroup(name)}
}
