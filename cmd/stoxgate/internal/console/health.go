package console

import (
	"io"
	"net/http"
)

const healthPath = "/healthz"

// health tells that the program runs, nothing more: whoever sees it fail should
// restart the program.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ok\n")
}

// Readiness is the answer of /readyz: whether traffic should be sent here.
type Readiness struct {
	Ready bool   `json:"ready"`
	XMPP  string `json:"xmpp" doc:"ok, or what is wrong"`
	SIP   string `json:"sip" doc:"ok, or what is wrong"`
	Store string `json:"store" doc:"ok, or what is wrong"`
}

// readiness judges a report.
func readiness(r Report) Readiness {
	const ok = "ok"
	out := Readiness{XMPP: ok, SIP: ok, Store: ok}
	if !r.XMPP.Up {
		out.XMPP = because("no connection to "+r.XMPP.Server, r.XMPP.Error)
	}
	if len(r.SIP) == 0 {
		out.SIP = "no listener"
	}
	for _, l := range r.SIP {
		if !l.Up {
			out.SIP = because(l.URL+" is not open", l.Error)
			break
		}
	}
	if !r.Store.Writable {
		out.Store = because("cannot be written", r.Store.Error)
	}
	out.Ready = out.XMPP == ok && out.SIP == ok && out.Store == ok
	return out
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	out := readiness(s.cfg.Sources.Status.Status(r.Context()))
	status := http.StatusOK
	if !out.Ready {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, out)
}

// report is the status with the judgement filled in.
func (s *Server) report(r *http.Request) Report {
	out := s.cfg.Sources.Status.Status(r.Context())
	out.Ready = readiness(out).Ready
	if out.SIP == nil {
		out.SIP = []Listener{}
	}
	if out.Warnings == nil {
		out.Warnings = []string{}
	}
	return out
}
