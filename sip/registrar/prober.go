package registrar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// ProbeState is what OPTIONS have shown of a trunk.
type ProbeState int

const (
	// ProbeUnknown is the state before the first answer; use the trunk.
	ProbeUnknown ProbeState = iota
	// ProbeUp means that the trunk answers.
	ProbeUp
	// ProbeDown means that it missed three pings in a row.
	ProbeDown
)

func (s ProbeState) String() string {
	switch s {
	case ProbeUp:
		return "up"
	case ProbeDown:
		return "down"
	}
	return "unknown"
}

// ProbeStatus is a snapshot for the console and for those who choose a trunk.
type ProbeStatus struct {
	Name   string
	State  ProbeState
	Since  time.Time     // of State
	Last   time.Time     // last ping finished
	Misses int           // in a row
	RTT    time.Duration // of the last answer
	// Code and Err are of the last ping; Code is 0 when there was no answer.
	Code int
	Err  string
}

// ProberConfig is one static trunk to ping. Name, URI, From and Sender are needed.
type ProberConfig struct {
	Name   string
	URI    sip.URI // Request-URI and To
	From   sip.URI
	Target ua.Target // URI when zero
	// Interval is the longest time between two pings, 60 s when zero; each pause is
	// a random half to whole of it, so that many gateways do not ping in step.
	Interval time.Duration
	// Timeout of one ping, 16 s when zero.
	Timeout time.Duration
	Sender  Sender
	// Changed is called when State changes, on the prober's goroutine.
	Changed func(ProbeStatus)
	Log     zerolog.Logger
}

// downAfter is the number of misses in a row that take a trunk down (one answer
// brings it up).
const downAfter = 3

// Prober pings a static trunk with OPTIONS (transport.md §11): any final response
// but 408 and 503 means that it is there.
type Prober struct {
	cfg    ProberConfig
	callID string
	cseq   uint32

	mu     sync.Mutex
	status ProbeStatus
}

// NewProber checks the configuration.
func NewProber(cfg ProberConfig) (*Prober, error) {
	if cfg.Name == "" || cfg.Sender == nil || !cfg.URI.IsSIP() || !cfg.From.IsSIP() {
		return nil, fmt.Errorf("%w: prober needs Name, Sender and sip URIs", ErrConfig)
	}
	if cfg.Target.URI.IsZero() {
		cfg.Target.URI = cfg.URI
	}
	if cfg.Interval == 0 {
		cfg.Interval = time.Minute
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 16 * time.Second
	}
	return &Prober{cfg: cfg, callID: uuid.NewString(), status: ProbeStatus{Name: cfg.Name}}, nil
}

// Status returns the snapshot.
func (p *Prober) Status() ProbeStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

// Run pings until ctx ends; then it returns nil.
func (p *Prober) Run(ctx context.Context) error {
	timer := time.NewTimer(rand.N(min(p.cfg.Interval/10, time.Second))) // several trunks at a start
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		p.ping(ctx)
		timer.Reset(p.cfg.Interval/2 + rand.N(p.cfg.Interval/2))
	}
}

func (p *Prober) ping(ctx context.Context) {
	req := sip.NewRequest(sip.OPTIONS, p.cfg.URI)
	p.cseq++
	sip.SetDialogHeaders(req, sip.NameAddr{URI: p.cfg.From}, sip.NameAddr{URI: p.cfg.URI}, p.callID, p.cseq)
	one, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	start := time.Now()
	res, err := p.cfg.Sender.Do(one, req, p.cfg.Target)
	if ctx.Err() != nil {
		return // we stop: that says nothing about the trunk
	}
	code := 0
	if err == nil {
		code = res.StatusCode
		if n, _ := sip.CSeq(res); n > p.cseq { // a challenge was answered
			p.cseq = n
		}
	}
	p.result(code, err, time.Since(start))
}

// result counts an answer or a miss.
func (p *Prober) result(code int, err error, rtt time.Duration) {
	var status sip.Status
	if errors.As(err, &status) {
		code = status.Code
	}
	up := code != 0 && code != 408 && code != 503
	p.mu.Lock()
	s := &p.status
	before := s.State
	s.Last, s.Code, s.Err = time.Now(), code, ""
	if err != nil {
		s.Err = err.Error()
	}
	if up {
		s.Misses, s.State, s.RTT = 0, ProbeUp, rtt
	} else if s.Misses++; s.Misses >= downAfter {
		s.State = ProbeDown
	}
	if s.State != before {
		s.Since = s.Last
	}
	now := *s
	p.mu.Unlock()
	if now.State == before {
		return
	}
	p.cfg.Log.Info().Str("trunk", p.cfg.Name).Stringer("was", before).Stringer("state", now.State).Int("status", code).Msg("trunk state")
	if p.cfg.Changed != nil {
		p.cfg.Changed(now)
	}
}
