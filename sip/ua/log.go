package ua

import (
	"log/slog"

	siplib "github.com/emiago/sipgo/sip"
)

// sipgo's default logger is a package variable that its parser uses. It is silenced
// before anything runs: what a peer does wrong is not our error, and its records hold
// whole messages.
func init() { siplib.SetDefaultLogger(slog.New(slog.DiscardHandler)) }
