// Package console is the HTTP side of stoxgate: health checks, metrics, a JSON
// API with its OpenAPI 3.1 description, live message journals as Server-Sent
// Events, and a status page.
//
// The decisions that bind it:
//
//   - One table of routes ([Server.routes]) makes the mux and the OpenAPI
//     description, so they cannot drift.
//   - Everything but /healthz, and pictures, whose hash is the permission, needs
//     the token, unless there is none; then the console only opens a loopback
//     listener, and only answers requests whose Host is this machine, so that a
//     web page cannot reach it by DNS rebinding.
//     A token may be shown as Bearer, or as the password of HTTP Basic because
//     that is what a browser can do for a page and everything on it.
//   - Requests that change something are refused when they come from another
//     site (http.CrossOriginProtection).
//   - Errors are problem documents (RFC 9457).
//   - What it shows comes through the small interfaces of [Sources]; the package
//     knows the journal and nothing else of the gateway.
//   - Passwords come in and never go out; bodies of messages are shown nowhere
//     but in journal entries, by the journal's own rules.
package console

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
)

// Config describes a console.
type Config struct {
	Listen  string // address:port
	Token   string // empty: only on loopback
	Sources Sources
	Version string
	Log     zerolog.Logger
}

// Limits of the HTTP server.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	stopTimeout   = 3 * time.Second
	maxHeader     = 16 << 10
	maxBody       = 64 << 10
	maxImport     = 64 << 20 // a CSV with 100,000 identities has about 15 MB
)

// ErrOpen is returned by New when a console would be open to the network.
var ErrOpen = errors.New("console: without a token only a loopback address can be listened on")

// Server is a console. Make it with New, then Listen, then Run.
type Server struct {
	cfg       Config
	token     [sha256.Size]byte // compared as hashes, so that lengths do not show
	page      *template.Template
	openAPI   []byte
	handler   http.Handler
	listener  net.Listener
	streams   context.Context // ends the live streams
	endStream context.CancelFunc
}

// New prepares a console.
func New(cfg Config) (*Server, error) {
	if cfg.Token == "" && !loopbackAddress(cfg.Listen) {
		return nil, fmt.Errorf("%w (%s)", ErrOpen, cfg.Listen)
	}
	page, err := parsePage()
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	s := &Server{cfg: cfg, token: sha256.Sum256([]byte(cfg.Token)), page: page}
	s.streams, s.endStream = context.WithCancel(context.Background())
	routes := s.routes()
	if s.openAPI, err = openAPI(routes, cfg.Version); err != nil {
		s.endStream()
		return nil, fmt.Errorf("console: %w", err)
	}
	s.handler = s.protect(s.mux(routes))
	return s, nil
}

// Handler returns the whole console as a handler.
func (s *Server) Handler() http.Handler { return s.handler }

// Listen opens the listener, so that Addr is known and a port that is taken is
// found out before anything else starts.
func (s *Server) Listen() error {
	l, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	s.listener = l
	return nil
}

// Addr is the address listened on; nil before Listen.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Run serves until ctx ends, then lets requests under way finish for at most
// three seconds. Live streams end at once.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          quietLog(s.cfg.Log),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.endStream()
		grace, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if server.Shutdown(grace) != nil {
			_ = server.Close() // what is still open then has had its time
		}
	})
	err := server.Serve(s.listener)
	if stop() { // Serve ended by itself
		s.endStream()
		return fmt.Errorf("console: %w", err)
	}
	<-stopped
	return nil
}
