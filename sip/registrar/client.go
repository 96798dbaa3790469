package registrar

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Sender sends one request and returns its final response; ua.UA.Do is one. It
// answers challenges with the target's credentials.
type Sender interface {
	Do(ctx context.Context, req *sip.Request, t ua.Target) (*sip.Response, error)
}

// ClientState is how we stand with a trunk's registrar.
type ClientState int

const (
	// ClientUnknown is the state before Run.
	ClientUnknown ClientState = iota
	// ClientTrying means that no registration is in force and one is under way or
	// will be tried again at ClientStatus.Next.
	ClientTrying
	// ClientRegistered means that a registration is in force.
	ClientRegistered
	// ClientRefused means that the trunk does not want us; tried again rarely.
	ClientRefused
	// ClientStopped means that Run has returned.
	ClientStopped
)

func (s ClientState) String() string {
	switch s {
	case ClientTrying:
		return "trying"
	case ClientRegistered:
		return "registered"
	case ClientRefused:
		return "refused"
	case ClientStopped:
		return "stopped"
	}
	return "unknown"
}

// ClientStatus is a snapshot for the console and for those who send over the trunk.
type ClientStatus struct {
	Name  string
	State ClientState
	Since time.Time // of State
	Until time.Time // the registration in force ends; zero without one
	Next  time.Time // the next REGISTER goes out; zero while one is under way
	// Code and Err are of the last answer; Code is 0 when there was none.
	Code int
	Err  string
	// ServiceRoute is to be the Route of requests over this trunk (RFC 3608).
	ServiceRoute []sip.NameAddr
	// Associated are the identities that we may use (RFC 7315 §4.1).
	Associated []sip.NameAddr
	GRUU       sip.URI // public, when the trunk gave one
}

// ClientConfig is one registration of ours at a trunk. Name, AOR, Contact and
// Sender are needed.
type ClientConfig struct {
	Name      string
	AOR       sip.URI // who we are there, From and To
	Registrar sip.URI // Request-URI; host and port of the AOR when zero
	Target    ua.Target
	Contact   sip.URI       // where the trunk reaches us
	Expires   time.Duration // asked for, 3600 s when zero
	// Instance (urn:uuid:…) makes it an outbound registration with reg-id 1.
	Instance string
	Sender   Sender
	// Changed is called after every change of the status, on the client's goroutine.
	Changed func(ClientStatus)
	Log     zerolog.Logger
}

const (
	// refusedPause is how long a trunk that said no is left alone: more would look
	// like an attack and get us banned.
	refusedPause = 30 * time.Minute
	// RFC 5626 §4.5: base and maximum of the back-off.
	retryBase = 30 * time.Second
	retryMax  = 30 * time.Minute
	// minRefresh keeps a registrar that grants seconds from being flooded.
	minRefresh = 5 * time.Second
	// maxExpires bounds what a 423 may make us ask for.
	maxExpires = 24 * time.Hour
	// attemptTimeout bounds one REGISTER, its failover and its challenge included.
	attemptTimeout = 90 * time.Second
	// lostPause is the least time between a registration and the next one when its
	// connection is lost: some registrars close it at once.
	lostPause = time.Minute
	// goodbyeTimeout bounds the REGISTER that ends the registration.
	goodbyeTimeout = 3 * time.Second
)

// Client keeps one registration at a trunk alive (transport.md §11): refresh at
// 90 % of what was granted, Min-Expires of a 423, half an hour of silence after a
// refusal, Retry-After, else exponential back-off. The connection of a registration over
// TCP or TLS is kept alive, and registered anew when it is lost (RFC 5626 §4.4): the trunk
// may know no other way to us.
type Client struct {
	cfg    ClientConfig
	callID string
	kick   chan struct{}
	lost   chan struct{} // the connection of the registration

	// Of Run's goroutine:
	cseq      uint32
	ask       time.Duration
	outbound  bool
	failures  int
	grantedAt time.Time // of the last 200

	mu     sync.Mutex
	status ClientStatus
}

// NewClient checks the configuration.
func NewClient(cfg ClientConfig) (*Client, error) {
	switch {
	case cfg.Name == "" || cfg.Sender == nil:
		return nil, fmt.Errorf("%w: client needs Name and Sender", ErrConfig)
	case !cfg.AOR.IsSIP() || cfg.AOR.User == "" || !cfg.Contact.IsSIP():
		return nil, fmt.Errorf("%w: client %s needs sip URIs as AOR and Contact", ErrConfig, cfg.Name)
	}
	if cfg.Registrar.IsZero() {
		cfg.Registrar = sip.URI{Scheme: cfg.AOR.Scheme, Host: cfg.AOR.Host, Port: cfg.AOR.Port}
	}
	if cfg.Target.URI.IsZero() {
		cfg.Target.URI = cfg.Registrar
	}
	if cfg.Expires == 0 {
		cfg.Expires = time.Hour
	}
	c := &Client{
		cfg: cfg, callID: uuid.NewString(), kick: make(chan struct{}, 1), lost: make(chan struct{}, 1),
		ask: cfg.Expires, outbound: cfg.Instance != "", status: ClientStatus{Name: cfg.Name},
	}
	c.cfg.Target.KeepAlive = &ua.KeepAlive{Lost: func() {
		select {
		case c.lost <- struct{}{}:
		default:
		}
	}}
	return c, nil
}

// Status returns the snapshot.
func (c *Client) Status() ClientStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Refresh registers now, as after a change of network or when the operator asks.
func (c *Client) Refresh() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Run registers and keeps registered until ctx ends; then it unregisters and
// returns nil.
func (c *Client) Run(ctx context.Context) error {
	c.set(func(s *ClientStatus) { s.State = ClientTrying })
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		pause := c.attempt(ctx)
		if ctx.Err() != nil {
			break
		}
		c.set(func(s *ClientStatus) { s.Next = time.Now().Add(pause) })
		c.wait(ctx, timer, pause)
	}
	c.goodbye()
	c.cfg.Target.KeepAlive.Stop()
	return nil
}

// wait sleeps for pause and tells when the registration in force ends meanwhile.
func (c *Client) wait(ctx context.Context, timer *time.Timer, pause time.Duration) {
	end := time.Now().Add(pause)
	for {
		next := end
		if until := c.Status().Until; !until.IsZero() && until.Before(end) {
			next = until
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return
		case <-c.kick:
			return
		case <-c.lost:
			again := time.Now()
			if soonest := c.grantedAt.Add(lostPause); soonest.After(again) {
				again = soonest
			}
			if c.Status().State == ClientRegistered && again.Before(end) {
				c.cfg.Log.Info().Str("trunk", c.cfg.Name).Msg("connection of the registration lost")
				end = again
				c.set(func(s *ClientStatus) { s.Next = end })
			}
		case <-timer.C:
			if next.Equal(end) {
				return
			}
			c.set(func(s *ClientStatus) {
				s.Until = time.Time{}
				if s.State == ClientRegistered {
					s.State = ClientTrying
				}
			})
		}
	}
}

// attempt sends one REGISTER (more after 423 and 439) and returns the pause to
// the next.
func (c *Client) attempt(ctx context.Context) time.Duration {
	c.set(func(s *ClientStatus) { s.Next = time.Time{} })
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	for try := 0; ; try++ {
		res, err := c.register(ctx, c.ask)
		if err != nil {
			return c.failed(0, err, 0)
		}
		switch {
		case res.StatusCode/100 == 2:
			return c.granted(res)
		case res.StatusCode == 423 && try < 3: // RFC 3261 §10.2.8
			least := parseExpires(sip.Value(res, "Min-Expires"), 0)
			if least > c.ask && least <= maxExpires {
				c.ask = least
				continue
			}
		case res.StatusCode == 439 && c.outbound: // RFC 5626 §11.6
			c.outbound = false
			continue
		}
		retry, _ := sip.ParseRetryAfter(sip.Value(res, "Retry-After"))
		return c.failed(res.StatusCode, sip.StatusOf(res), retry)
	}
}

// register sends one REGISTER.
func (c *Client) register(ctx context.Context, expires time.Duration) (*sip.Response, error) {
	req := sip.NewRequest(sip.REGISTER, c.cfg.Registrar)
	c.cseq++
	sip.SetDialogHeaders(req, sip.NameAddr{URI: c.cfg.AOR}, sip.NameAddr{URI: c.cfg.AOR}, c.callID, c.cseq)
	contact := sip.NameAddr{URI: c.cfg.Contact}
	supported := "path"
	if c.cfg.Instance != "" {
		contact.Params.Set("+sip.instance", "<"+c.cfg.Instance+">")
		supported = "path, gruu"
		if c.outbound {
			contact.Params.Set("reg-id", "1")
			supported = "path, outbound, gruu"
		}
	}
	sip.SetContact(req, contact)
	for _, h := range [][2]string{{"Expires", seconds(expires)}, {"Supported", supported}} {
		if err := sip.Add(req, h[0], h[1]); err != nil {
			return nil, err
		}
	}
	res, err := c.cfg.Sender.Do(ctx, req, c.cfg.Target)
	if err != nil {
		return nil, err
	}
	// An answered challenge has used further numbers.
	if n, _ := sip.CSeq(res); n > c.cseq {
		c.cseq = n
	}
	return res, nil
}

// granted takes a 200 and returns the time to the refresh.
func (c *Client) granted(res *sip.Response) time.Duration {
	c.failures, c.grantedAt = 0, time.Now()
	expires, gruu := c.grant(res)
	if expires <= 0 { // a registrar that forgets us at once
		return c.failed(res.StatusCode, errors.New("registrar: the answer grants no time"), 0)
	}
	now := time.Now()
	routes, err := sip.NameAddrs(res, "Service-Route")
	if err != nil {
		c.cfg.Log.Warn().Err(err).Str("trunk", c.cfg.Name).Msg("Service-Route ignored")
	}
	associated, err := sip.NameAddrs(res, "P-Associated-URI")
	if err != nil {
		c.cfg.Log.Warn().Err(err).Str("trunk", c.cfg.Name).Msg("P-Associated-URI ignored")
	}
	if c.Status().State != ClientRegistered {
		c.cfg.Log.Info().Str("trunk", c.cfg.Name).Dur("expires", expires).Msg("registered at trunk")
	}
	c.set(func(s *ClientStatus) {
		s.State, s.Code, s.Err, s.Until = ClientRegistered, res.StatusCode, "", now.Add(expires)
		s.ServiceRoute, s.Associated, s.GRUU = routes, associated, gruu
	})
	return max(expires*9/10, minRefresh)
}

// grant finds our contact in a 200: the time granted and our GRUU.
func (c *Client) grant(res *sip.Response) (time.Duration, sip.URI) {
	fallback := parseExpires(sip.Value(res, "Expires"), c.ask)
	list, _, err := sip.Contacts(res)
	if err != nil {
		return fallback, sip.URI{}
	}
	for i, n := range list {
		mine := n.URI.Equal(c.cfg.Contact) || len(list) == 1 && i == 0 // some rewrite the contact (NAT)
		if c.cfg.Instance != "" {
			mine = mine || strings.EqualFold(strings.Trim(n.Params.Value("+sip.instance"), "<>"), c.cfg.Instance)
		}
		if !mine {
			continue
		}
		var gruu sip.URI
		if g, ok := n.Params.Get("pub-gruu"); ok {
			if u, err := sip.ParseURI(g); err == nil {
				gruu = u
			}
		}
		if e, ok := n.Params.Get("expires"); ok {
			return parseExpires(e, fallback), gruu
		}
		return fallback, gruu
	}
	return fallback, sip.URI{}
}

// failed takes what is no 200 and returns the pause.
func (c *Client) failed(code int, err error, retryAfter time.Duration) time.Duration {
	state, pause := ClientTrying, time.Duration(0)
	switch {
	case retryAfter > 0:
		pause = min(retryAfter, maxExpires)
	case code == 401 || code == 403 || code == 404 || code == 405 || code == 407 || code == 416 || code == 420 || code == 501 || code/100 == 6:
		state, pause = ClientRefused, refusedPause
	default:
		pause = backoff(c.failures)
		c.failures++
	}
	now := time.Now()
	c.set(func(s *ClientStatus) {
		if s.Until.After(now) && state != ClientRefused { // the last one is still in force: try before it ends
			state = ClientRegistered
			if left := s.Until.Sub(now); retryAfter == 0 && pause > left/2 {
				pause = max(left/2, minRefresh)
			}
		} else {
			s.Until = time.Time{}
		}
		s.State, s.Code, s.Err = state, code, err.Error()
	})
	c.cfg.Log.Warn().Str("trunk", c.cfg.Name).Int("status", code).Err(err).Dur("pause", pause).Msg("registration at trunk failed")
	return pause
}

// backoff is 30 s, 60 s, … 30 min after that many failures, each time a random
// 50–100 % of it (RFC 5626 §4.5).
func backoff(failures int) time.Duration {
	d := min(retryBase<<min(failures, 10), retryMax)
	return d/2 + rand.N(d/2)
}

// goodbye ends the registration in force.
func (c *Client) goodbye() {
	s := c.Status()
	if s.State == ClientRegistered || s.Until.After(time.Now()) {
		ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
		defer cancel()
		if _, err := c.register(ctx, 0); err != nil {
			c.cfg.Log.Info().Str("trunk", c.cfg.Name).Err(err).Msg("could not unregister")
		}
	}
	c.set(func(s *ClientStatus) { s.State, s.Until, s.Next = ClientStopped, time.Time{}, time.Time{} })
}

func (c *Client) set(f func(*ClientStatus)) {
	c.mu.Lock()
	before := c.status.State
	f(&c.status)
	if c.status.State != before {
		c.status.Since = time.Now()
	}
	s := c.status
	c.mu.Unlock()
	if c.cfg.Changed != nil {
		c.cfg.Changed(s)
	}
}
