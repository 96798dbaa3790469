package console

import (
	"encoding/json"
	"errors"
	"net/http"
)

// Problem is an error in the form of RFC 9457.
type Problem struct {
	Title  string `json:"title" doc:"the status in words"`
	Status int    `json:"status" doc:"HTTP status"`
	Detail string `json:"detail,omitempty" doc:"what is wrong in this case"`
}

const problemType = "application/problem+json"

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(status)
	writeJSON(w, Problem{Title: http.StatusText(status), Status: status, Detail: detail})
}

// failed answers with the status that belongs to an error of a source. What is
// not the caller's fault goes to the log as well.
func (s *Server) failed(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, ErrNotFound):
		problem(w, http.StatusNotFound, err.Error())
	case errors.Is(err, ErrConflict):
		problem(w, http.StatusConflict, err.Error())
	case errors.Is(err, ErrInvalid):
		problem(w, http.StatusUnprocessableEntity, err.Error())
	case errors.Is(err, ErrBusy):
		w.Header().Set("Retry-After", "30")
		problem(w, http.StatusServiceUnavailable, err.Error())
	case errors.As(err, &tooLarge):
		problem(w, http.StatusRequestEntityTooLarge, err.Error())
	case r.Context().Err() != nil: // nobody is there to read an answer
	default:
		s.cfg.Log.Error().Err(err).Str("path", r.URL.Path).Msg("console request failed")
		problem(w, http.StatusInternalServerError, err.Error())
	}
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeJSON(w, value)
}

func writeJSON(w http.ResponseWriter, value any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(value) // the connection is gone then; the server notices by itself
}
