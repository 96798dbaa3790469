package console

import (
	"mime"
	"net/http"
	"net/url"
	"time"
)

func (s *Server) listIdentities(w http.ResponseWriter, r *http.Request) {
	limit, ok := number(w, r, "limit", 100, 1, 1000)
	if !ok {
		return
	}
	q := r.URL.Query()
	page, err := s.cfg.Sources.Identities.List(r.Context(), IdentityQuery{Search: q.Get("search"), After: q.Get("after"), Limit: int(limit)})
	if err != nil {
		s.failed(w, r, err)
		return
	}
	if page.Identities == nil {
		page.Identities = []Identity{}
	}
	for i := range page.Identities {
		page.Identities[i].fill()
	}
	answer(w, http.StatusOK, page)
}

// fill makes lists out of what is missing, so that JSON has no null.
func (i *Identity) fill() {
	if i.AORs == nil {
		i.AORs = []string{}
	}
	if i.Numbers == nil {
		i.Numbers = []string{}
	}
	if i.Logins == nil {
		i.Logins = []string{}
	}
}

// identity answers with one identity.
func (s *Server) identity(w http.ResponseWriter, r *http.Request, status int, id Identity, err error) {
	if err != nil {
		s.failed(w, r, err)
		return
	}
	id.fill()
	answer(w, status, id)
}

func (s *Server) addIdentity(w http.ResponseWriter, r *http.Request) {
	var in IdentityInput
	if !s.decode(w, r, &in) {
		return
	}
	added, err := s.cfg.Sources.Identities.Add(r.Context(), in)
	if err == nil {
		w.Header().Set("Location", apiPath+"/identities/"+url.PathEscape(added.ID))
		s.cfg.Log.Info().Str("identity", added.ID).Msg("identity added")
	}
	s.identity(w, r, http.StatusCreated, added, err)
}

func (s *Server) getIdentity(w http.ResponseWriter, r *http.Request) {
	id, err := s.cfg.Sources.Identities.Get(r.Context(), r.PathValue("id"))
	s.identity(w, r, http.StatusOK, id, err)
}

func (s *Server) putIdentity(w http.ResponseWriter, r *http.Request) {
	var in IdentityInput
	if !s.decode(w, r, &in) {
		return
	}
	updated, err := s.cfg.Sources.Identities.Update(r.Context(), r.PathValue("id"), in)
	if err == nil {
		s.cfg.Log.Info().Str("identity", updated.ID).Msg("identity changed")
	}
	s.identity(w, r, http.StatusOK, updated, err)
}

func (s *Server) deleteIdentity(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := s.cfg.Sources.Identities.Remove(r.Context(), id); err != nil {
		s.failed(w, r, err)
		return
	}
	s.cfg.Log.Info().Str("identity", id).Msg("identity removed")
	w.WriteHeader(http.StatusNoContent)
}

// bulkTimeout replaces the time limits of a request that carries a whole table.
const bulkTimeout = 5 * time.Minute

func extend(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	deadline := time.Now().Add(bulkTimeout)
	_ = rc.SetReadDeadline(deadline) // not supported by test recorders
	_ = rc.SetWriteDeadline(deadline)
}

func (s *Server) exportIdentities(w http.ResponseWriter, r *http.Request) {
	extend(w)
	w.Header().Set("Content-Type", mediaCSV+"; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="identities.csv"`)
	if err := s.cfg.Sources.Identities.Export(r.Context(), w); err != nil {
		s.cfg.Log.Error().Err(err).Msg("identity export failed")
		panic(http.ErrAbortHandler) // part of it may be sent: the client must see that it is cut
	}
}

func (s *Server) importIdentities(w http.ResponseWriter, r *http.Request) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != mediaCSV {
		problem(w, http.StatusUnsupportedMediaType, "send "+mediaCSV)
		return
	}
	dryRun, ok := flag(w, r, "dry_run")
	if !ok {
		return
	}
	extend(w)
	result, err := s.cfg.Sources.Identities.Import(r.Context(), r.Body, dryRun)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	s.cfg.Log.Info().Int("added", result.Added).Int("updated", result.Updated).Bool("dry_run", dryRun).Msg("identities imported")
	answer(w, http.StatusOK, result)
}
