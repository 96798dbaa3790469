package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

// decode reads a JSON body strictly and answers itself when it is wrong.
func (s *Server) decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		problem(w, http.StatusUnsupportedMediaType, "send application/json")
		return false
	}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil && dec.Decode(&struct{}{}) != io.EOF {
		err = errors.New("more than one JSON value")
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return true
	case errors.As(err, &tooLarge):
		problem(w, http.StatusRequestEntityTooLarge, err.Error())
	default:
		problem(w, http.StatusBadRequest, err.Error())
	}
	return false
}

// number reads an integer from the query and answers itself when it is wrong.
func number(w http.ResponseWriter, r *http.Request, name string, fallback, low, high int64) (int64, bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, true
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		problem(w, http.StatusBadRequest, fmt.Sprintf("%s must be a number from %d to %d", name, low, high))
		return 0, false
	}
	return n, true
}

// flag reads a boolean from the query and answers itself when it is wrong.
func flag(w http.ResponseWriter, r *http.Request, name string) (value, ok bool) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, true
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		problem(w, http.StatusBadRequest, name+" must be true or false")
		return false, false
	}
	return value, true
}

// list answers with a list that is never null.
func list[T any](s *Server, w http.ResponseWriter, r *http.Request, items []T, err error) {
	if err != nil {
		s.failed(w, r, err)
		return
	}
	if items == nil {
		items = []T{}
	}
	answer(w, http.StatusOK, items)
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, s.report(r))
}

// LogSetting is the level of the log.
type LogSetting struct {
	Level string `json:"level" doc:"trace, debug, info, warn or error"`
}

func (s *Server) getLog(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, LogSetting{s.cfg.Sources.Log.Level()})
}

func (s *Server) putLog(w http.ResponseWriter, r *http.Request) {
	var in LogSetting
	if !s.decode(w, r, &in) {
		return
	}
	if err := s.cfg.Sources.Log.SetLevel(in.Level); err != nil {
		s.failed(w, r, err)
		return
	}
	s.cfg.Log.Info().Str("log_level", in.Level).Msg("log level changed")
	s.getLog(w, r)
}

func (s *Server) listRegistrations(w http.ResponseWriter, r *http.Request) {
	items, err := s.cfg.Sources.Registrations.Registrations(r.Context())
	list(s, w, r, items, err)
}

func (s *Server) listTrunks(w http.ResponseWriter, r *http.Request) {
	items, err := s.cfg.Sources.Trunks.Trunks(r.Context())
	list(s, w, r, items, err)
}

func (s *Server) getOutbox(w http.ResponseWriter, r *http.Request) {
	counts, err := s.cfg.Sources.Outbox.Counts(r.Context())
	if err != nil {
		s.failed(w, r, err)
		return
	}
	answer(w, http.StatusOK, counts)
}

func (s *Server) listOutbox(w http.ResponseWriter, r *http.Request) {
	after, ok := number(w, r, "after", 0, 0, 1<<62)
	if !ok {
		return
	}
	limit, ok := number(w, r, "limit", 100, 1, 10_000)
	if !ok {
		return
	}
	items, err := s.cfg.Sources.Outbox.Entries(r.Context(), after, int(limit))
	list(s, w, r, items, err)
}

func (s *Server) listFlows(w http.ResponseWriter, r *http.Request) {
	if limit, ok := number(w, r, "limit", 100, 1, 10_000); ok {
		list(s, w, r, s.cfg.Sources.Flows.Flows(int(limit)), nil)
	}
}

// flow returns the entries of the flow in the path, or answers 404.
func (s *Server) flow(w http.ResponseWriter, r *http.Request) ([]journal.Entry, bool) {
	entries := s.cfg.Sources.Flows.Flow(r.PathValue("id"))
	if len(entries) == 0 {
		problem(w, http.StatusNotFound, "the journal has nothing of this flow (any more)")
		return nil, false
	}
	return entries, true
}

func (s *Server) getFlow(w http.ResponseWriter, r *http.Request) {
	if entries, ok := s.flow(w, r); ok {
		answer(w, http.StatusOK, journal.Rows(entries))
	}
}

func (s *Server) ladderText(w http.ResponseWriter, r *http.Request) {
	width, ok := number(w, r, "width", 100, 40, 400)
	if !ok {
		return
	}
	ascii, ok := flag(w, r, "ascii")
	if !ok {
		return
	}
	if entries, ok := s.flow(w, r); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, journal.Ladder(entries, journal.LadderOptions{Width: int(width), ASCII: ascii}))
	}
}

func (s *Server) ladderSVG(w http.ResponseWriter, r *http.Request) {
	if entries, ok := s.flow(w, r); ok {
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = io.WriteString(w, journal.SVG(entries))
	}
}

func (s *Server) recent(w http.ResponseWriter, r *http.Request) {
	if limit, ok := number(w, r, "limit", 100, 1, 10_000); ok {
		answer(w, http.StatusOK, journal.Rows(s.cfg.Sources.Flows.Recent(int(limit))))
	}
}
