package ua

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Flow names what a request came over, so that requests can be sent back over
// exactly that: a connection, or a UDP socket with the peer's address (RFC 5626
// §3). It is comparable; the zero value is no flow. A connection's flow does not
// outlive the connection, a UDP flow outlives even a restart on the same address.
type Flow struct {
	Transport     string // udp, tcp, tls, ws, wss
	Local, Remote netip.AddrPort
	ID            uint64 // of the connection; 0 for udp
}

// IsZero tells whether f names no flow.
func (f Flow) IsZero() bool { return f.Transport == "" }

// String is a text that ParseFlow reads: udp,0.0.0.0:5060,192.0.2.9:5060,0.
func (f Flow) String() string {
	if f.IsZero() {
		return ""
	}
	return f.Transport + "," + f.Local.String() + "," + f.Remote.String() + "," + strconv.FormatUint(f.ID, 16)
}

var errFlowText = errors.New("ua: malformed flow")

// ParseFlow reads String back; the empty text is the zero flow.
func ParseFlow(s string) (Flow, error) {
	if s == "" {
		return Flow{}, nil
	}
	p := strings.Split(s, ",")
	if len(p) != 4 || p[0] == "" {
		return Flow{}, fmt.Errorf("%w: %q", errFlowText, s)
	}
	f := Flow{Transport: p[0]}
	var err error
	if f.Local, err = netip.ParseAddrPort(p[1]); err != nil {
		return Flow{}, fmt.Errorf("%w: %q", errFlowText, s)
	}
	if f.Remote, err = netip.ParseAddrPort(p[2]); err != nil {
		return Flow{}, fmt.Errorf("%w: %q", errFlowText, s)
	}
	if f.ID, err = strconv.ParseUint(p[3], 16, 64); err != nil {
		return Flow{}, fmt.Errorf("%w: %q", errFlowText, s)
	}
	return f, nil
}

// path is where bytes go: a stream, or a socket with an address.
type path struct {
	stream *stream
	sock   *socket
	remote netip.AddrPort
}

func (p path) reliable() bool { return p.stream != nil }

func (p path) transport() string {
	if p.stream != nil {
		return p.stream.transport
	}
	return "udp"
}

func (p path) local() netip.AddrPort {
	if p.stream != nil {
		return p.stream.local
	}
	return p.sock.local
}

func (p path) flow() Flow {
	f := Flow{Transport: p.transport(), Local: p.local(), Remote: p.remote}
	if p.stream != nil {
		f.ID = p.stream.id
	}
	return f
}

// send writes one message. b is not kept.
func (p path) send(b []byte) error {
	if p.stream != nil {
		return p.stream.send(b)
	}
	return p.sock.send(b, p.remote)
}

// post is send for what may be kept back for a moment (Hold) and is not changed any more;
// failed takes the error.
func (p path) post(b []byte, failed func(error)) {
	if p.stream == nil {
		p.sock.post(b, p.remote, failed)
		return
	}
	if err := p.stream.send(b); err != nil {
		failed(err)
	}
}

// pathOf finds the living flow.
func (u *UA) pathOf(f Flow) (path, error) {
	if f.Transport == "udp" {
		for _, s := range u.sockets {
			if s.local == f.Local {
				return path{sock: s, remote: f.Remote}, nil
			}
		}
		return path{}, fmt.Errorf("%w: %w: no socket at %s", ErrTransport, ErrFlow, f.Local)
	}
	if s := u.streams.byID(f.ID); s != nil && s.remote == f.Remote && s.transport == f.Transport {
		return path{stream: s, remote: s.remote}, nil
	}
	return path{}, fmt.Errorf("%w: %w: %s from %s", ErrTransport, ErrFlow, f.Transport, f.Remote)
}

// Alive tells whether a request can be sent over that flow now.
func (u *UA) Alive(f Flow) bool {
	_, err := u.pathOf(f)
	return err == nil
}
