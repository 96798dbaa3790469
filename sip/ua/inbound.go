package ua

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// AuthKind tells how the sender of a request is known.
type AuthKind int

const (
	AuthNone    AuthKind = iota // not at all
	AuthDigest                  // by digest: User and Realm are proven
	AuthTrusted                 // by Authenticator.Trusted: address or certificate
)

func (k AuthKind) String() string {
	switch k {
	case AuthDigest:
		return "digest"
	case AuthTrusted:
		return "trusted"
	}
	return "none"
}

// Identity is who sent a request, as far as it is proven.
type Identity struct {
	Kind        AuthKind
	User, Realm string // of a digest
}

// Inbound is a request that waits for its answer. Its fields are set before the
// handler runs; Auth changes with Authenticate.
type Inbound struct {
	Request   *sip.Request
	Transport string         // udp, tcp, tls, ws, wss
	Source    netip.AddrPort // where it came from
	Local     netip.AddrPort // where it came to; the bound address of a UDP socket
	Flow      Flow           // to send requests back over the same way
	TLS       *tls.ConnectionState
	Auth      Identity
	Received  time.Time

	u    *UA
	path path
	tx   answerer
}

// answerer is a server transaction.
type answerer interface {
	respond(s sip.Status) error
	respondWith(res *sip.Response) error
	tag() string
	done() <-chan struct{}
	// begin is called when the handler's turn has come, and tells whether it is to run.
	begin() bool
}

// received fills in what is known of a request.
func (in *Inbound) received(u *UA, p path, req *sip.Request, tx answerer) {
	in.Request, in.Transport, in.Source, in.Local, in.Flow = req, p.transport(), p.remote, p.local(), p.flow()
	in.Received, in.u, in.path, in.tx = time.Now(), u, p, tx
	if p.stream != nil {
		in.TLS = p.stream.tls
	}
	if u.cfg.Auth != nil && u.cfg.Auth.Trusted(p.remote.Addr(), in.Transport, in.TLS) {
		in.Auth.Kind = AuthTrusted
	}
}

// handle runs a handler, unless its turn comes too late. A panic in it costs this
// request a 500, not the process.
func (in *Inbound) handle(h func(*Inbound)) {
	if !in.tx.begin() {
		return
	}
	defer func() {
		if r := recover(); r != nil {
			in.u.log.Error().Interface("panic", r).Bytes("stack", debug.Stack()).Str("method", string(in.Request.Method)).Msg("handler failed")
			_ = in.Respond(sip.Status{Code: 500})
		}
	}()
	h(in)
}

// Respond sends the final response, or a provisional one to an INVITE. There is
// one final response: a second gets ErrAnswered. It may be called from anywhere,
// also after the handler has returned. 405 and 415 get the Allow and the Accept
// that they must carry.
func (in *Inbound) Respond(s sip.Status) error {
	if s.Code == 405 || s.Code == 415 {
		s.Headers = in.u.completed(s)
	}
	return in.sent(s.Code, in.tx.respond(s))
}

// RespondWith is Respond with a message that was built with sip.NewResponse and
// Tag. It is for responses that need more than a Status holds.
func (in *Inbound) RespondWith(res *sip.Response) error {
	in.u.product(res, "Server")
	return in.sent(res.StatusCode, in.tx.respondWith(res))
}

func (in *Inbound) sent(code int, err error) error {
	if err != nil && !errors.Is(err, ErrAnswered) {
		in.u.log.Warn().Err(err).Str("method", string(in.Request.Method)).Int("status", code).Str("remote", in.Source.String()).Msg("answer not sent")
	}
	return err
}

// completed adds the Allow of a 405 and the Accept of a 415.
func (u *UA) completed(s sip.Status) []sip.Header {
	name := "Allow"
	if s.Code == 415 {
		name = "Accept"
	}
	for _, h := range s.Headers {
		if strings.EqualFold(h.Name(), name) {
			return s.Headers
		}
	}
	list := slices.Clone(s.Headers)
	for _, h := range u.capabilities() {
		if h.Name() == name {
			list = append(list, h)
		}
	}
	return list
}

// Tag is the tag that the answers put into To.
func (in *Inbound) Tag() string { return in.tx.tag() }

// Done is closed when the request has its final response, whoever gave it, and
// when an INVITE is cancelled.
func (in *Inbound) Done() <-chan struct{} { return in.tx.done() }

// encode writes a message that may be sent.
func encode(dst []byte, msg sip.Message) ([]byte, error) {
	if err := sip.Mandatory(msg); err != nil {
		return dst, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	b, err := sip.AppendMessage(dst, msg)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return b, nil
}
