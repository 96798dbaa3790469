package console

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"time"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

//go:embed page
var pageFiles embed.FS

func parsePage() (*template.Template, error) {
	return template.New("").Funcs(template.FuncMap{
		"clock":  func(t time.Time) string { return t.Local().Format("15:04:05") },
		"ago":    func(t time.Time) string { return ago(time.Since(t)) },
		"size":   size,
		"plural": plural,
	}).ParseFS(pageFiles, "page/*.html")
}

// overview is what the page shows.
type overview struct {
	Report    Report
	Readiness Readiness
	Flows     []journal.FlowInfo
	Trunks    []Trunk
	Outbox    OutboxCounts
	Errors    []string // of sources that did not answer
}

// pageFlows is how many flows the page lists.
const pageFlows = 30

func (s *Server) overview(r *http.Request) overview {
	src := &s.cfg.Sources
	out := overview{Report: s.report(r), Flows: src.Flows.Flows(pageFlows)}
	out.Readiness = readiness(out.Report)
	var err error
	if out.Trunks, err = src.Trunks.Trunks(r.Context()); err != nil {
		out.Errors = append(out.Errors, "trunks: "+err.Error())
	}
	if out.Outbox, err = src.Outbox.Counts(r.Context()); err != nil {
		out.Errors = append(out.Errors, "outbox: "+err.Error())
	}
	return out
}

func (s *Server) showPage(w http.ResponseWriter, r *http.Request) { s.render(w, r, "index.html") }

// showOverview renders the changing part of the page, which its script fetches
// again when something happened.
func (s *Server) showOverview(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, "overview.html")
}

func (s *Server) render(w http.ResponseWriter, r *http.Request, name string) {
	var b bytes.Buffer
	if err := s.page.ExecuteTemplate(&b, name, s.overview(r)); err != nil {
		s.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = b.WriteTo(w)
}

// showFile serves the style and the script.
func (s *Server) showFile(w http.ResponseWriter, r *http.Request) {
	types := map[string]string{"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}
	name := r.PathValue("file")
	media, known := types[name]
	data, err := fs.ReadFile(pageFiles, "page/"+name)
	if !known || err != nil {
		problem(w, http.StatusNotFound, "no such file")
		return
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "private, max-age=300")
	_, _ = w.Write(data)
}
