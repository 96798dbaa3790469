package console

import (
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

// route is one operation: what the mux needs and what the description says.
type route struct {
	method  string
	path    string // as http.ServeMux has it
	handler http.HandlerFunc
	hidden  bool // of the page, not of the API: not described
	open    bool // needs no token, see authorized

	id      string // operationId
	tag     string
	summary string
	query   []parameter
	header  []parameter
	body    any    // zero value of what is sent as JSON; nil: none
	media   string // media type of the body instead, for text
	status  int    // on success, 200 when 0
	answer  any    // zero value of what comes back as JSON
	text    string // media type of the answer instead, for text; with answer, another form of it
	errors  []int  // besides 401 and 403, which all can have that need a token
}

// parameter is a query parameter or header field.
type parameter struct {
	name, doc string
	kind      string // of JSON Schema: string, integer or boolean
}

const (
	apiPath    = "/api/v1"
	importPath = apiPath + "/identities.csv"

	mediaCSV = "text/csv"
)

var (
	pageQuery = []parameter{
		{"search", "only identities with an address or name that contains this", "string"},
		{"after", "ID after which the page begins", "string"},
		{"limit", "most entries, 1 to 1000, default 100", "integer"},
	}
	limitQuery = parameter{"limit", "most entries, 1 to 10000, default 100", "integer"}
)

// routes lists everything the console answers.
func (s *Server) routes() []route {
	metrics := promhttp.HandlerFor(s.cfg.Sources.Metrics, promhttp.HandlerOpts{})
	return []route{
		{
			method: "GET", path: healthPath, handler: s.health, open: true, id: "health", tag: "health", text: "text/plain",
			summary: "Whether the program runs. Needs no token.",
		},
		{
			method: "GET", path: "/readyz", handler: s.ready, id: "ready", tag: "health", answer: Readiness{}, errors: []int{http.StatusServiceUnavailable},
			summary: "Whether XMPP link, SIP listeners and store all work; 503 with the same body when not.",
		},
		{
			method: "GET", path: "/metrics", handler: metrics.ServeHTTP, id: "metrics", tag: "health", text: "text/plain",
			summary: "Metrics in the format of Prometheus.",
		},
		// Where the time goes in a running gateway: go tool pprof http://…/debug/pprof/profile
		{method: "GET", path: "/debug/pprof/", handler: pprof.Index, hidden: true},
		{method: "GET", path: "/debug/pprof/profile", handler: pprof.Profile, hidden: true},
		{
			method: "GET", path: apiPath + "/openapi.json", handler: s.describe, id: "describe", tag: "status", answer: map[string]any{},
			summary: "This description.",
		},
		{
			method: "GET", path: apiPath + "/status", handler: s.getStatus, id: "getStatus", tag: "status", answer: Report{},
			summary: "State of links, listeners and store, and counts.",
		},
		{
			method: "GET", path: apiPath + "/log", handler: s.getLog, id: "getLog", tag: "status", answer: LogSetting{},
			summary: "Level of the log.",
		},
		{
			method: "PUT", path: apiPath + "/log", handler: s.putLog, id: "putLog", tag: "status", body: LogSetting{}, answer: LogSetting{}, errors: []int{400, 415, 422},
			summary: "Change the level of the log until the next restart or reload.",
		},
		{
			method: "GET", path: apiPath + "/identities", handler: s.listIdentities, id: "listIdentities", tag: "identities", query: pageQuery, answer: IdentityPage{}, errors: []int{400},
			summary: "Identities, page by page in the order of their IDs.",
		},
		{
			method: "POST", path: apiPath + "/identities", handler: s.addIdentity, id: "addIdentity", tag: "identities", body: IdentityInput{}, answer: Identity{}, status: http.StatusCreated, errors: []int{400, 409, 415, 422},
			summary: "Add an identity. 409 when one of its addresses has an owner already.",
		},
		{
			method: "GET", path: apiPath + "/identities/{id}", handler: s.getIdentity, id: "getIdentity", tag: "identities", answer: Identity{}, errors: []int{404},
			summary: "One identity, by its ID or by one of its addresses.",
		},
		{
			method: "PUT", path: apiPath + "/identities/{id}", handler: s.putIdentity, id: "putIdentity", tag: "identities", body: IdentityInput{}, answer: Identity{}, errors: []int{400, 404, 409, 415, 422},
			summary: "Replace an identity. Without a password it keeps the one it has.",
		},
		{
			method: "DELETE", path: apiPath + "/identities/{id}", handler: s.deleteIdentity, id: "deleteIdentity", tag: "identities", status: http.StatusNoContent, errors: []int{404},
			summary: "Remove an identity.",
		},
		{
			method: "GET", path: importPath, handler: s.exportIdentities, id: "exportIdentities", tag: "identities", text: mediaCSV,
			summary: "All identities as CSV, with the digest hashes.",
		},
		{
			method: "POST", path: importPath, handler: s.importIdentities, id: "importIdentities", tag: "identities", media: mediaCSV, answer: ImportResult{}, errors: []int{400, 409, 413, 415, 422},
			query:   []parameter{{"dry_run", "only tell what it would do", "boolean"}},
			summary: "Add and update identities from CSV: all lines or, when one is wrong, none.",
		},
		{
			method: "GET", path: apiPath + "/registrations", handler: s.listRegistrations, id: "listRegistrations", tag: "sip", answer: []Registration{},
			summary: "Phones that are logged in.",
		},
		{
			method: "GET", path: apiPath + "/trunks", handler: s.listTrunks, id: "listTrunks", tag: "sip", answer: []Trunk{},
			summary: "Named next hops and whether they answer.",
		},
		{
			method: "GET", path: apiPath + "/watchers", handler: s.listWatchers, id: "listWatchers", tag: "sip", answer: []Watcher{}, errors: []int{422},
			query:   []parameter{{"aor", "address of a SIP user", "string"}},
			summary: "Who may see a SIP user's presence or waits to, and whom that user may see.",
		},
		{
			method: "POST", path: apiPath + "/watchers", handler: s.decideWatcher, id: "decideWatcher", tag: "sip", body: WatcherDecision{}, status: http.StatusNoContent, errors: []int{400, 404, 415, 422},
			summary: "Grant, refuse or remove a permission. It is carried out a moment later.",
		},
		{
			method: "GET", path: avatarPath + "{hash}", handler: s.getAvatar, open: true, id: "getAvatar", tag: "sip", text: "image/*", errors: []int{404, 503},
			summary: "The picture of an XMPP user, by the SHA-1 of its bytes in lower-case hexadecimal, as presence documents name it (presence.avatars.icon_base). Needs no token, because the hash is the permission: only hashes that were put into a document for somebody who may see the user are served.",
		},
		{
			method: "GET", path: apiPath + "/outbox", handler: s.getOutbox, id: "getOutbox", tag: "messages", answer: OutboxCounts{},
			summary: "How many messages are not delivered yet.",
		},
		{
			method: "GET", path: apiPath + "/outbox/entries", handler: s.listOutbox, id: "listOutbox", tag: "messages", answer: []OutboxEntry{}, errors: []int{400},
			query:   []parameter{{"after", "number after which the list begins", "integer"}, limitQuery},
			summary: "Messages that are not delivered yet, without their bodies.",
		},
		{
			method: "GET", path: callsPath, handler: s.listCalls, id: "listCalls", tag: "calls", query: callsQuery, answer: CallPage{}, text: mediaCSV, errors: []int{400, 422},
			summary: "Accounts of calls, the latest first, as JSON page by page or as CSV.",
		},
		{
			method: "GET", path: apiPath + "/flows", handler: s.listFlows, id: "listFlows", tag: "journal", answer: []journal.FlowInfo{}, errors: []int{400},
			query:   []parameter{limitQuery},
			summary: "Flows in the journal, the most recent first.",
		},
		{
			method: "GET", path: apiPath + "/flows/{id}", handler: s.getFlow, id: "getFlow", tag: "journal", answer: []journal.Row{}, errors: []int{404},
			summary: "What is kept of one flow, in order.",
		},
		{
			method: "GET", path: apiPath + "/flows/{id}/ladder.txt", handler: s.ladderText, id: "getLadderText", tag: "journal", text: "text/plain", errors: []int{400, 404},
			query:   []parameter{{"width", "columns, 40 to 400, default 100", "integer"}, {"ascii", "draw with ASCII characters only", "boolean"}},
			summary: "One flow as a ladder in text.",
		},
		{
			method: "GET", path: apiPath + "/flows/{id}/ladder.svg", handler: s.ladderSVG, id: "getLadderSVG", tag: "journal", text: "image/svg+xml", errors: []int{404},
			summary: "One flow as a ladder in SVG.",
		},
		{
			method: "GET", path: apiPath + "/journal", handler: s.recent, id: "getJournal", tag: "journal", answer: []journal.Row{}, errors: []int{400},
			query:   []parameter{limitQuery},
			summary: "The latest entries of the journal, in order.",
		},
		{
			method: "GET", path: apiPath + "/journal/live", handler: s.live, id: "followJournal", tag: "journal", text: "text/event-stream", errors: []int{400},
			query: []parameter{
				{"flow", "only this flow", "string"},
				{"recent", "begin with as many entries of the past, 0 to 10000, default 0", "integer"},
				{"raw", "with the messages themselves; their bodies are blanked unless trace.raw is on", "boolean"},
			},
			header:  []parameter{{"Last-Event-ID", "begin after this entry", "integer"}},
			summary: "Entries as they come, as Server-Sent Events: \"entry\" with a journal row as data and its number as id, \"dropped\" with the number of entries lost because the reader was slow.",
		},
		{method: "GET", path: "/{$}", handler: s.showPage, hidden: true},
		{method: "GET", path: "/overview", handler: s.showOverview, hidden: true},
		{method: "GET", path: "/static/{file}", handler: s.showFile, hidden: true},
	}
}

func (s *Server) mux(routes []route) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+r.path, r.handler)
	}
	return mux
}

func (s *Server) describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.openAPI)
}
