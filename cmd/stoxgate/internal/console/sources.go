package console

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

// Errors that sources return, wrapped with the particulars; the console answers
// 404, 409, 422 and 503.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("conflict")
	ErrInvalid  = errors.New("invalid")
	ErrBusy     = errors.New("not available now")
)

// Sources are where the console gets what it shows. All must be set.
type Sources struct {
	Status        Status
	Identities    Identities
	Registrations Registrations
	Trunks        Trunks
	Outbox        Outbox
	Watchers      Watchers
	Avatars       Avatars
	Calls         Calls
	Flows         Flows
	Log           LogLevel
	Metrics       prometheus.Gatherer
}

// Status tells how the gateway is.
type Status interface {
	Status(ctx context.Context) Report
}

// Report is the state of the gateway.
type Report struct {
	Version  string        `json:"version" doc:"version of the program"`
	Started  time.Time     `json:"started" doc:"when the program was started"`
	Ready    bool          `json:"ready" doc:"XMPP link, SIP listeners and store all work"`
	XMPP     Link          `json:"xmpp"`
	SIP      []Listener    `json:"sip"`
	Store    Store         `json:"store"`
	Journal  journal.Stats `json:"journal"`
	Warnings []string      `json:"warnings" doc:"what is wrong although everything runs"`
	Counts   Counts        `json:"counts"`
}

// Link is the component connection.
type Link struct {
	Domain string    `json:"domain"`
	Server string    `json:"server" doc:"address of the component listener"`
	Up     bool      `json:"up"`
	Since  time.Time `json:"since,omitzero" doc:"when it came up or went down"`
	Error  string    `json:"error,omitempty" doc:"why it is down"`
}

// Listener is one SIP listener.
type Listener struct {
	URL   string `json:"url" doc:"transport, address and port"`
	Up    bool   `json:"up"`
	Error string `json:"error,omitempty"`
}

// Store is the database.
type Store struct {
	Engine   string `json:"engine" doc:"sqlite or postgresql"`
	Writable bool   `json:"writable"`
	Error    string `json:"error,omitempty"`
}

// Counts are sizes of what the gateway knows.
type Counts struct {
	Identities    int `json:"identities"`
	Registrations int `json:"registrations" doc:"contacts of phones"`
	Outbox        int `json:"outbox" doc:"messages not delivered yet"`
	Pairs         int `json:"pairs" doc:"pairs of one XMPP and one SIP user in memory"`
}

// Identity is one person or phone: the addresses that belong together.
type Identity struct {
	ID           string   `json:"id" doc:"its name for the operator, and a user name that phones can log in with"`
	JID          string   `json:"jid,omitempty" doc:"bare JID; empty for a phone only"`
	AORs         []string `json:"aors" doc:"SIP addresses of record; the first is how the person appears to SIP"`
	Numbers      []string `json:"numbers" doc:"telephone numbers in international form; the first is the caller number"`
	Name         string   `json:"name,omitempty" doc:"display name"`
	Logins       []string `json:"logins" doc:"user@realm that phones can log in as; empty without a password"`
	Trunk        string   `json:"trunk,omitempty" doc:"name of the trunk that this identity prefers"`
	CallOut      bool     `json:"call_out" doc:"may send and call"`
	CallIn       bool     `json:"call_in" doc:"may be reached"`
	ShowCallerID bool     `json:"show_caller_id" doc:"others see the number"`
}

// IdentityInput is what a caller gives to add or replace an identity. Without a
// password an update keeps the one that is there. The policies are allowed
// unless they are given as false.
type IdentityInput struct {
	ID           string   `json:"id,omitempty" doc:"for a new one; default: made from its addresses"`
	JID          string   `json:"jid,omitempty" doc:"bare JID; empty for a phone only"`
	AORs         []string `json:"aors,omitempty" doc:"SIP addresses of record, with or without sip:"`
	Numbers      []string `json:"numbers,omitempty" doc:"telephone numbers"`
	Name         string   `json:"name,omitempty" doc:"display name"`
	Password     string   `json:"password,omitempty" doc:"for phones; kept as digest hashes only"`
	Trunk        string   `json:"trunk,omitempty" doc:"name of a trunk"`
	CallOut      *bool    `json:"call_out,omitempty" doc:"may send and call"`
	CallIn       *bool    `json:"call_in,omitempty" doc:"may be reached"`
	ShowCallerID *bool    `json:"show_caller_id,omitempty" doc:"others see the number"`
}

// IdentityPage is a part of the list of identities.
type IdentityPage struct {
	Identities []Identity `json:"identities"`
	Next       string     `json:"next,omitempty" doc:"give this as after to get the next page; missing on the last"`
	Total      int        `json:"total" doc:"in the whole table"`
}

// IdentityQuery selects a page: identities with an address or name that contains
// Search, those after the ID After, at most Limit.
type IdentityQuery struct {
	Search string
	After  string
	Limit  int
}

// ImportResult counts what a CSV did.
type ImportResult struct {
	Added     int `json:"added"`
	Updated   int `json:"updated"`
	Unchanged int `json:"unchanged"`
}

// Identities is the identity table.
type Identities interface {
	List(ctx context.Context, q IdentityQuery) (IdentityPage, error)
	// Get finds an identity by its ID or by one of its addresses.
	Get(ctx context.Context, id string) (Identity, error)
	Add(ctx context.Context, in IdentityInput) (Identity, error)
	Update(ctx context.Context, id string, in IdentityInput) (Identity, error)
	Remove(ctx context.Context, id string) error
	// Import adds and updates from CSV; either all lines count or none. With dryRun
	// it only tells what it would do.
	Import(ctx context.Context, csv io.Reader, dryRun bool) (ImportResult, error)
	Export(ctx context.Context, csv io.Writer) error
}

// Registration is one contact of a phone.
type Registration struct {
	AOR       string    `json:"aor"`
	Contact   string    `json:"contact"`
	Transport string    `json:"transport,omitempty"`
	Source    string    `json:"source,omitempty" doc:"where the REGISTER came from"`
	UserAgent string    `json:"user_agent,omitempty"`
	Q         float64   `json:"q" doc:"preference, 0 to 1"`
	Expires   time.Time `json:"expires"`
}

// Registrations are the phones that are logged in.
type Registrations interface {
	Registrations(ctx context.Context) ([]Registration, error)
}

// Trunk is the state of a named next hop.
type Trunk struct {
	Name   string    `json:"name"`
	URI    string    `json:"uri"`
	Up     bool      `json:"up" doc:"not known to be down"`
	State  string    `json:"state" doc:"up, down, registered, trying, refused or unknown"`
	Since  time.Time `json:"since,omitzero" doc:"of that state"`
	Detail string    `json:"detail,omitempty" doc:"the last answer or error"`
}

// Trunks are the named next hops.
type Trunks interface {
	Trunks(ctx context.Context) ([]Trunk, error)
}

// OutboxCounts sums up the messages that are not delivered yet.
type OutboxCounts struct {
	Pending int       `json:"pending" doc:"committed and not delivered yet"`
	Queued  int       `json:"queued" doc:"changes that wait for the database"`
	Oldest  time.Time `json:"oldest,omitzero" doc:"when the oldest message was taken"`
}

// OutboxEntry is a message that is not delivered yet, without its body.
type OutboxEntry struct {
	Seq       int64     `json:"seq"`
	Direction string    `json:"direction" doc:"x2s or s2x"`
	Pair      string    `json:"pair" doc:"whose message it is"`
	Flow      string    `json:"flow,omitempty"`
	Bytes     int       `json:"bytes"`
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires" doc:"when its sender gets an error"`
	Attempts  int       `json:"attempts"`
	NotBefore time.Time `json:"not_before,omitzero" doc:"next attempt"`
}

// Outbox is the memory of messages under way.
type Outbox interface {
	Counts(ctx context.Context) (OutboxCounts, error)
	// Entries returns at most limit entries with a Seq above after, in order.
	Entries(ctx context.Context, after int64, limit int) ([]OutboxEntry, error)
}

// Flows is the journal; *journal.Journal is one.
type Flows interface {
	Flows(n int) []journal.FlowInfo
	Flow(id string) []journal.Entry
	Recent(n int) []journal.Entry
	Subscribe(ctx context.Context, f journal.Filter) *journal.Subscription
}

// LogLevel is the switch of the log.
type LogLevel interface {
	Level() string
	SetLevel(level string) error // ErrInvalid for an unknown one
}
