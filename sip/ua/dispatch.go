package ua

import (
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	siplib "github.com/emiago/sipgo/sip"

	"github.com/stoxgate/stoxgate/sip"
)

// dispatch takes one parsed message off a reading goroutine; it must not block.
// err is that of the parser, which may come with what was readable.
func (u *UA) dispatch(p path, msg sip.Message, err error) {
	switch m := msg.(type) {
	case *sip.Request:
		u.request(p, m, err)
	case *sip.Response:
		if err == nil {
			err = sip.CheckResponse(m)
		}
		if err != nil {
			u.log.Debug().Err(err).Str("remote", p.remote.String()).Msg("malformed response dropped")
			return
		}
		u.response(p, m)
	default:
		u.log.Debug().Err(err).Str("remote", p.remote.String()).Msg("not a SIP message")
	}
}

// response finds the transaction; a response without one is a retransmission or
// a forgery (RFC 3261 §18.1.2).
func (u *UA) response(p path, res *sip.Response) {
	branch, _ := res.Via().Params.Get("branch")
	_, method := sip.CSeq(res)
	if method == sip.INVITE {
		u.invites.response(res)
		return
	}
	if tx, ok := u.clients.get(clientKey(branch, method)); ok {
		tx.received(res)
		return
	}
	u.log.Debug().Int("status", res.StatusCode).Str("remote", p.remote.String()).Msg("response to nothing dropped")
}

func (u *UA) request(p path, req *sip.Request, parseErr error) {
	if req.Via() == nil {
		u.log.Debug().AnErr("parse", parseErr).Str("remote", p.remote.String()).Msg("request without Via dropped")
		return
	}
	u.stampVia(p, req)
	if scanner(req) && u.guard.ban(p.remote.Addr(), p.transport()) {
		u.log.Info().Str("remote", p.remote.Addr().String()).Str("agent", sip.Value(req, "User-Agent")).Dur("for", u.cfg.Limits.Ban).Msg("scanner banned")
		return
	}
	if parseErr != nil {
		u.log.Debug().Err(parseErr).Str("remote", p.remote.String()).Msg("malformed request")
		u.stateless(p, req, sip.Status{Code: 400})
		return
	}
	if st := sip.CheckRequest(req, u.cfg.Supported...); st != nil {
		u.log.Debug().Int("status", st.Code).Str("reason", st.Phrase()).Str("remote", p.remote.String()).Msg("request refused")
		u.stateless(p, req, *st)
		return
	}
	var key txKey
	switch req.Method {
	case sip.ACK:
		u.invites.ack(u, p, req)
		return
	case sip.CANCEL:
		u.invites.cancelled(u, p, req)
		return
	case sip.INVITE:
		key = serverKey(req, sip.INVITE)
		if u.invites.again(req, key) {
			return
		}
	default:
		key = serverKey(req, req.Method)
		if u.servers.again(p, req, key) {
			return
		}
	}
	if st := u.overloaded(); st != nil {
		u.stateless(p, req, *st)
		return
	}
	h := u.handlers[req.Method]
	switch {
	case h == nil && req.Method == sip.OPTIONS:
		h = u.answerOptions
	case h == nil:
		u.stateless(p, req, sip.Status{Code: 405, Headers: []sip.Header{siplib.NewHeader("Allow", u.allow)}})
		return
	}
	if req.Method == sip.INVITE {
		u.invites.accept(u, p, req, key, h)
		return
	}
	u.servers.accept(p, req, key, h)
}

// overloaded: a request that would only wait is refused while that is cheap.
func (u *UA) overloaded() *sip.Status {
	if u.draining.Load() {
		return &sip.Status{Code: 503, RetryAfter: 10 * time.Second}
	}
	if n := u.cfg.Limits.Pending; n > 0 && u.pending.Load() >= int64(n) {
		return &sip.Status{Code: 503, RetryAfter: busyPause()}
	}
	return nil
}

// busyPause is the Retry-After of a request that only would have waited: spread over
// some seconds, or all come back at once.
func busyPause() time.Duration { return time.Duration(2+rand.IntN(6)) * time.Second }

// stampVia writes where the request came from into its top Via (RFC 3261
// §18.2.1, RFC 3581 §4). It is part of the answer, and tells a peer behind a NAT
// its address.
func (u *UA) stampVia(p path, req *sip.Request) {
	via := req.Via()
	if via == nil {
		return
	}
	_, rport := via.Params.Get("rport")
	addr := p.remote.Addr().WithZone("")
	if rport {
		via.Params.Add("rport", strconv.Itoa(int(p.remote.Port())))
	}
	if rport || !sameHost(via.Host, addr) {
		via.Params.Add("received", addr.String())
	} else {
		via.Params.Remove("received") // whoever put it there, it was not us
	}
}

func sameHost(host string, addr netip.Addr) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a == addr
}

// answerPath is where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4):
// back over the connection; for UDP to the source address, and to the source port
// if the request asked for it, else to the port in Via. maddr is ignored, for it
// would let anyone point our answers at a third party.
func answerPath(p path, req *sip.Request) path {
	if p.stream != nil {
		return p
	}
	via := req.Via()
	if _, ok := via.Params.Get("rport"); ok {
		return p
	}
	p.remote = netip.AddrPortFrom(p.remote.Addr(), viaPort(via))
	return p
}

func viaPort(via *sip.Via) uint16 {
	if via.Port <= 0 || via.Port > 65535 {
		return 5060
	}
	return uint16(via.Port)
}

// stateless answers without a transaction. ACK is never answered.
func (u *UA) stateless(p path, req *sip.Request, st sip.Status) {
	if req.Method == sip.ACK {
		return
	}
	// The same request gets the same tag, although nothing remembers it (§8.2.7).
	k := serverKeySafe(req)
	w := sip.NewWriter()
	defer w.Free()
	sip.WriteResponse(w, req, st, statelessTag(k))
	if u.cfg.UserAgent != "" {
		w.Field("Server", u.cfg.UserAgent)
	}
	b, err := w.Append(nil, nil)
	if err == nil {
		err = answerPath(p, req).send(b)
	}
	if err != nil {
		u.log.Debug().Err(err).Int("status", st.Code).Msg("stateless answer failed")
	}
}

// serverKeySafe is serverKey for requests that may lack everything but Via.
func serverKeySafe(req *sip.Request) txKey {
	if req.CSeq() == nil {
		return hashKey(req.Via().Value())
	}
	return serverKey(req, req.Method)
}

func statelessTag(k txKey) string {
	var b [8]byte
	for i := range b {
		b[i] = byte(k[0] >> (8 * i))
	}
	return hex.EncodeToString(b[:])
}

// token is a random text of 16 hex digits, for tags and branches. The generator
// is a ChaCha8 with a random key: nobody can guess the next from the last.
func token() string {
	var b [8]byte
	r := rand.Uint64()
	for i := range b {
		b[i] = byte(r >> (8 * i))
	}
	return hex.EncodeToString(b[:])
}

func (u *UA) product(msg sip.Message, header string) {
	if u.cfg.UserAgent != "" {
		msg.AppendHeader(siplib.NewHeader(header, u.cfg.UserAgent))
	}
}

func (u *UA) setAllow() {
	methods := []string{"OPTIONS"}
	for m := range u.handlers {
		if m == sip.INVITE {
			methods = append(methods, "ACK", "CANCEL")
		}
		methods = append(methods, string(m))
	}
	slices.Sort(methods)
	u.allow = strings.Join(slices.Compact(methods), ", ")
}

// answerOptions is OPTIONS (RFC 3261 §11.2): what we can, under the status that
// the configuration gives this address.
func (u *UA) answerOptions(in *Inbound) {
	st := sip.Status{Code: 200}
	if u.cfg.Options != nil {
		st.Code = u.cfg.Options(sip.RequestURI(in.Request))
	}
	st.Headers = u.capabilities()
	_ = in.Respond(st) // a failure is logged there
}

func (u *UA) capabilities() []sip.Header {
	h := []sip.Header{siplib.NewHeader("Allow", u.allow)}
	if len(u.cfg.Accept) > 0 {
		h = append(h, siplib.NewHeader("Accept", strings.Join(u.cfg.Accept, ", ")))
	}
	if len(u.cfg.Events) > 0 {
		h = append(h, siplib.NewHeader("Allow-Events", strings.Join(u.cfg.Events, ", ")))
	}
	if len(u.cfg.Supported) > 0 {
		h = append(h, siplib.NewHeader("Supported", strings.Join(u.cfg.Supported, ", ")))
	}
	return h
}
