package console

import (
	"context"
	"net/http"
	"time"
)

// Watchers are the permissions to see each other's presence, and where an operator
// decides on them.
type Watchers interface {
	// Watchers returns those of one SIP user; ErrInvalid for what is no SIP address.
	Watchers(ctx context.Context, aor string) ([]Watcher, error)
	// Decide carries a decision out; ErrNotFound when the SIP user has no account here.
	Decide(ctx context.Context, d WatcherDecision) error
}

// Watcher is what one XMPP and one SIP user may see of each other.
type Watcher struct {
	JID        string    `json:"jid" doc:"the XMPP user"`
	AOR        string    `json:"aor" doc:"the SIP user"`
	Watch      string    `json:"watch" doc:"whether the XMPP user sees the SIP user: none, asked, granted or denied"`
	WatchSince time.Time `json:"watch_since,omitzero"`
	Share      string    `json:"share" doc:"whether the SIP user sees the XMPP user, in the same words"`
	ShareSince time.Time `json:"share_since,omitzero"`
}

// WatcherDecision is the word of an operator.
type WatcherDecision struct {
	JID      string `json:"jid" doc:"the XMPP user"`
	AOR      string `json:"aor" doc:"the SIP user, who has an account here"`
	Decision string `json:"decision" doc:"grant or refuse an XMPP user who waits to see the SIP user; remove takes that permission away, remove_share the one of the SIP user"`
}

func (s *Server) listWatchers(w http.ResponseWriter, r *http.Request) {
	items, err := s.cfg.Sources.Watchers.Watchers(r.Context(), r.URL.Query().Get("aor"))
	list(s, w, r, items, err)
}

func (s *Server) decideWatcher(w http.ResponseWriter, r *http.Request) {
	var in WatcherDecision
	if !s.decode(w, r, &in) {
		return
	}
	if err := s.cfg.Sources.Watchers.Decide(r.Context(), in); err != nil {
		s.failed(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
