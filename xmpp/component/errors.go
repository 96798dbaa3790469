package component

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Reasons why there is no link. They wrap what was seen; Hint explains them.
var (
	ErrRefused       = errors.New("component: connection refused")
	ErrTimeout       = errors.New("component: server does not answer")
	ErrTLS           = errors.New("component: TLS failed")
	ErrNotComponent  = errors.New("component: no component listener")
	ErrHostUnknown   = errors.New("component: server does not know this component") // host-unknown
	ErrNotAuthorized = errors.New("component: wrong secret")                        // not-authorized
	ErrConflict      = errors.New("component: already connected")                   // conflict
	ErrServerClosed  = errors.New("component: closed by the server")
	ErrServerSilent  = errors.New("component: server is silent")
	ErrServerStalled = errors.New("component: server does not read")
)

// StreamError is the <stream:error/> with which the server ended the stream (RFC 6120 §4.9).
type StreamError struct {
	Condition string // such as "conflict"
	Text      string
}

func (e *StreamError) Error() string {
	s := "component: stream error " + e.Condition
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Is makes the errors above match their conditions.
func (e *StreamError) Is(target error) bool {
	switch target {
	case ErrHostUnknown:
		return e.Condition == "host-unknown" || e.Condition == "host-gone"
	case ErrNotAuthorized:
		return e.Condition == "not-authorized"
	case ErrConflict:
		return e.Condition == "conflict"
	case ErrNotComponent:
		return e.Condition == "invalid-namespace"
	}
	return false
}

func parseStreamError(e *xmpp.Element) *StreamError {
	se := &StreamError{Condition: "undefined-condition"}
	for c := range e.Elements() {
		switch {
		case c.Name.Space != xmpp.NSStreamErrors:
		case c.Name.Local == "text":
			se.Text = c.Text()
		default:
			se.Condition = c.Name.Local
		}
	}
	return se
}

// connectError adds to the error of an attempt to connect which of the reasons above it was.
func connectError(err error) error {
	var (
		streamError *StreamError
		netError    net.Error
		record      tls.RecordHeaderError
		verify      *tls.CertificateVerificationError
		hostname    x509.HostnameError
		alert       tls.AlertError
	)
	reason := error(nil)
	switch {
	case errors.As(err, &streamError):
		return err
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = ErrRefused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &netError) && netError.Timeout():
		reason = ErrTimeout
	case errors.As(err, &record), errors.As(err, &verify), errors.As(err, &hostname), errors.As(err, &alert):
		reason = ErrTLS
	case errors.Is(err, xmpp.ErrBadStream), errors.Is(err, xmpp.ErrNotWellFormed), errors.Is(err, xmpp.ErrRestrictedXML),
		errors.Is(err, ErrNotComponent):
		reason = ErrNotComponent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, xmpp.ErrStreamClosed),
		errors.Is(err, syscall.ECONNRESET):
		reason = ErrServerClosed
	}
	switch {
	case reason == nil:
		return fmt.Errorf("component: connect: %w", err)
	case errors.Is(err, reason):
		return err
	}
	return fmt.Errorf("%w: %w", reason, err)
}

// Hint tells an operator in one sentence what can be done about an error of Probe, Run or LastError; "" if
// nothing is known.
func Hint(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, ErrRefused):
		return "is the XMPP server running, and does it listen for components on this port (Prosody: component_ports, ejabberd: a listener with module ejabberd_service)?"
	case errors.Is(err, ErrTimeout):
		return "check host, port and firewall: nothing answered in time."
	case errors.Is(err, ErrTLS):
		return "the TLS handshake failed: component listeners are plain TCP unless a tunnel is in front of them; otherwise check name and authority of the certificate."
	case errors.Is(err, ErrNotComponent):
		return "something else answers there: the port must be the component listener (often 5347 or 5275), not the one for clients (5222), servers (5269) or HTTP."
	case errors.Is(err, ErrHostUnknown):
		return "declare this domain as an external component in the server's configuration, spelled exactly like xmpp.domain, and reload the server."
	case errors.Is(err, ErrNotAuthorized):
		return "the secret differs from the one in the server's configuration of this component, or (ejabberd) the server does not know this domain."
	case errors.Is(err, ErrConflict):
		return "another process is connected under this domain: is the gateway running already?"
	case errors.Is(err, ErrServerSilent), errors.Is(err, ErrServerStalled):
		return "the connection was open but the server did nothing: it may be overloaded or hanging."
	case errors.Is(err, ErrServerClosed):
		return "the server closed the connection: its log says why (a reload, a shutdown, or a refused component)."
	case errors.As(err, &dns):
		return "the host name of the server can not be resolved."
	}
	return ""
}
