package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
)

// logLevel is the level of one logger and everything made from it, changeable
// while it runs. It works as a sampler, because the level of a zerolog logger
// is copied into each that is made from it.
type logLevel struct{ level atomic.Int32 }

// Sample implements zerolog.Sampler.
func (l *logLevel) Sample(level zerolog.Level) bool { return level >= zerolog.Level(l.level.Load()) }

// Level implements console.LogLevel.
func (l *logLevel) Level() string { return zerolog.Level(l.level.Load()).String() }

// SetLevel implements console.LogLevel.
func (l *logLevel) SetLevel(name string) error {
	level, err := zerolog.ParseLevel(name)
	if err != nil || level < zerolog.TraceLevel || level > zerolog.ErrorLevel {
		return fmt.Errorf("%w: log level %q; use trace, debug, info, warn or error", console.ErrInvalid, name)
	}
	l.level.Store(int32(level))
	return nil
}

// newLogger makes the logger that the configuration asks for.
func newLogger(c config.Log, w io.Writer) (zerolog.Logger, *logLevel, error) {
	level := &logLevel{}
	if err := level.SetLevel(c.Level); err != nil {
		return zerolog.Nop(), nil, err
	}
	if c.Format == "console" {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: "2006-01-02 15:04:05.000", NoColor: !isTerminal(w)}
	}
	return zerolog.New(w).Level(zerolog.TraceLevel).Sample(level).With().Timestamp().Logger(), level, nil
}

// isTerminal reports whether w is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
