package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// maxInput is the size of what translate reads at most.
const maxInput = 1 << 20

// errUntranslatable is the error of an input that has no counterpart.
var errUntranslatable = errors.New("not translated")

// translateCmd maps one message with package mapping alone: no configuration,
// no gateway, no identities.
type translateCmd struct {
	Component string    `default:"sip.example.org" placeholder:"DOMAIN" help:"The component's domain (${default})."`
	FromURI   string    `name:"from-uri" placeholder:"URI" help:"SIP address of the sender; default: that of its JID."`
	FromName  string    `name:"from-name" placeholder:"NAME" help:"Display name of the sender on SIP."`
	ToURI     string    `name:"to-uri" placeholder:"URI" help:"SIP address of the receiver; default: that of its JID."`
	FromJID   string    `name:"from-jid" placeholder:"JID" help:"JID of the sender; default: made of its SIP address inside the component's domain."`
	ToJID     string    `name:"to-jid" placeholder:"JID" help:"JID of the receiver; default: made of its SIP address."`
	Type      string    `enum:"chat,normal" default:"chat" help:"Type of stanzas made from SIP messages (${default})."`
	Accept    []string  `placeholder:"TYPE" help:"Media types that the phone accepts beside text/plain, as in its Accept header: message/cpim, message/imdn+xml, application/im-iscomposing+xml, text/html, …"`
	ShortText int       `name:"short-text" placeholder:"BYTES" help:"Split texts for a peer that takes no more, like SMS."`
	Seq       uint64    `default:"1" help:"Number of the message, from which CSeq, tags and ids are made (${default})."`
	Time      time.Time `placeholder:"TIME" help:"Time of the message (RFC 3339); default: now."`
	callFlags `group:"Calls"`
}

func (translateCmd) Help() string {
	return `The input is an XMPP stanza when it begins with "<", else a SIP request or response; line
ends may be LF alone, Content-Length is corrected then. The counterpart goes to standard
output, what is lost on the way to standard error. What is refused gives the answer that its
sender would get, and exit code 1.

Of calls it takes Jingle sessions (session-initiate, -accept, -terminate, -info ringing) and
Jingle messages, and INVITE with its responses, CANCEL and BYE. Sessions are translated as
they stand; a running gateway puts the address, keys and codecs of its own relay in.

Examples:
  stoxgate translate <<< "<message from='mira@chat.example' to='otto@sip.example.org'><body>Hi</body></message>"
  stoxgate translate --component gw.example --accept message/cpim,message/imdn+xml < stanza.xml
  stoxgate translate < message.sip
  stoxgate translate < session-initiate.xml                         an INVITE
  stoxgate translate --offer session-initiate.xml < 200.sip         the session-accept
  stoxgate translate --state ringing <<< "<message from='mira@chat.example/desk' to='otto@sip.example.org' type='chat'><retract xmlns='urn:xmpp:jingle-message:0' id='a1'/></message>"
  printf 'SIP/2.0 486 Busy Here\nFrom: <sip:mira@chat.example>;tag=1\nTo: <sip:otto@sip.example.org>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\n\n' | stoxgate translate`
}

func (c translateCmd) Run(p *program) error {
	input, err := io.ReadAll(io.LimitReader(p.stdin, maxInput+1))
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	if len(input) > maxInput {
		return fmt.Errorf("standard input: larger than %d bytes", maxInput)
	}
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	input = bytes.TrimLeft(input, " \t\r\n\ufeff")
	switch {
	case len(input) == 0:
		return errors.New("standard input is empty; give a stanza or a SIP message")
	case input[0] == '<':
		return c.stanza(p, input)
	default:
		return c.message(p, input)
	}
}

// stanza translates towards SIP.
func (c translateCmd) stanza(p *program, input []byte) error {
	element, err := xmpp.ParseElement(bytes.TrimSpace(input))
	if err != nil {
		return fmt.Errorf("not an XMPP stanza: %w", err)
	}
	if element.Name.Space == "" { // typed without xmlns, as stanzas inside a stream look
		inherit(element)
	}
	s, err := xmpp.ParseStanza(element)
	if err != nil {
		return fmt.Errorf("not an XMPP stanza: %w", err)
	}
	if iq, ok := s.(*xmpp.IQ); ok {
		return c.jingleIQ(p, iq)
	}
	m, ok := s.(*xmpp.Message)
	if !ok {
		return fmt.Errorf("%w: <%s/> has no counterpart in this version, only <message/> and Jingle have", errUntranslatable, element.Name.Local)
	}
	if ok, err := c.jingleMessage(p, m); ok {
		return err
	}
	if m.Type == xmpp.MessageError {
		return c.stanzaError(p, m)
	}
	ctx, err := c.messageContext(m)
	if err != nil {
		return err
	}
	requests, loss, err := mapping.MessageToRequests(m, ctx)
	p.lost(loss)
	var refusal *xmpp.StanzaError
	switch {
	case errors.Is(err, mapping.ErrNothing):
		fmt.Fprintln(p.stderr, nothing)
		return nil
	case errors.As(err, &refusal):
		fmt.Fprintf(p.stderr, "refused, the sender gets: %s\n", m.ErrorReply(*refusal).Append(nil))
		return silentError{exitFailed}
	case err != nil:
		return fmt.Errorf("%w: %w", errUntranslatable, err)
	}
	for i, r := range requests {
		if err := p.printSIP(i, r); err != nil {
			return err
		}
	}
	return nil
}

// inherit puts elements without a namespace into that of a component stream.
func inherit(e *xmpp.Element) {
	if e.Name.Space != "" {
		return
	}
	e.Name.Space = xmpp.NSComponentAccept
	for child := range e.Elements() {
		inherit(child)
	}
}

// messageContext takes the addresses from the flags or from the stanza.
func (c translateCmd) messageContext(m *xmpp.Message) (mapping.MessageContext, error) {
	from, to, err := c.addresses(m.From, m.To)
	if err != nil {
		return mapping.MessageContext{}, err
	}
	peer := mapping.PeerCapsOf(c.Accept)
	peer.ShortText = c.ShortText
	return mapping.MessageContext{
		From: from, To: to, Host: c.Component, Seq: c.Seq, Now: c.Time, Peer: peer, MaxForwards: maxForwards,
	}, nil
}

// addresses are those of a stanza on SIP.
func (c translateCmd) addresses(sender, receiver xmpp.JID) (from, to sip.NameAddr, err error) {
	from.Display = c.FromName
	if from.URI, err = uriOf(c.FromURI, sender, ""); err != nil {
		return from, to, fmt.Errorf("sender: %w", err)
	}
	if to.URI, err = uriOf(c.ToURI, receiver, c.Component); err != nil {
		return from, to, fmt.Errorf("receiver: %w", err)
	}
	return from, to, nil
}

// uriOf returns the SIP address of a JID; component is the domain in which a
// localpart may hold a whole SIP address.
func uriOf(given string, j xmpp.JID, component string) (sip.URI, error) {
	if given != "" {
		return sip.ParseURI(given)
	}
	if j.IsZero() {
		return sip.URI{}, errors.New("the stanza has no such address; give it with a flag")
	}
	if component != "" && strings.EqualFold(j.Domain(), component) {
		if u, ok, err := mapping.ComponentToURI(j); ok || err != nil {
			return u, err
		}
	}
	return mapping.JIDToURI(j)
}

// stanzaError translates an error that came back for a message.
func (c translateCmd) stanzaError(p *program, m *xmpp.Message) error {
	return p.printStatus(mapping.StanzaErrorToStatus(*m.Error, mapping.ErrorContext{FullJID: !m.From.IsBare()}), nil)
}

// message translates towards XMPP.
func (c translateCmd) message(p *program, input []byte) error {
	msg, err := sip.ParseMessage(wireForm(input))
	if err != nil {
		return fmt.Errorf("neither an XMPP stanza nor a SIP message: %w", err)
	}
	switch msg := msg.(type) {
	case *sip.Request:
		return c.request(p, msg)
	case *sip.Response:
		return c.response(p, msg)
	default:
		return errUntranslatable
	}
}

// wireForm turns text with LF line ends into what RFC 3261 §7 demands, and its
// Content-Length into what is there. Input with CR LF stays as it is.
func wireForm(input []byte) []byte {
	if bytes.Contains(input, []byte("\r\n")) {
		return input
	}
	head, body, _ := bytes.Cut(input, []byte("\n\n"))
	body = bytes.TrimSuffix(body, []byte("\n")) // of the here-document, not of the message
	var b bytes.Buffer
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\n")
		name, _, _ := bytes.Cut(line, []byte(":"))
		if n := strings.ToLower(string(bytes.TrimSpace(name))); n == "content-length" || n == "l" {
			continue
		}
		b.Write(line)
		b.WriteString("\r\n")
	}
	b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
	b.Write(body)
	return b.Bytes()
}

func (c translateCmd) request(p *program, r *sip.Request) error {
	if ok, err := c.callOf(p, r); ok {
		return err
	}
	if r.Method != sip.MESSAGE {
		return fmt.Errorf("%w: %s has no counterpart in this version, only MESSAGE, INVITE, CANCEL and BYE have", errUntranslatable, r.Method)
	}
	from, err := sip.FromOf(r)
	if err != nil {
		return fmt.Errorf("%w: From: %w", errUntranslatable, err)
	}
	ctx := mapping.RequestContext{Type: xmpp.MessageType(c.Type), Now: c.Time, Component: c.Component}
	if ctx.From, ctx.To, err = c.parties(from.URI, sip.RequestURI(r)); err != nil {
		return err
	}
	messages, loss, err := mapping.RequestToMessages(r, ctx)
	p.lost(loss)
	var refusal *sip.Status
	switch {
	case errors.As(err, &refusal):
		fmt.Fprintf(p.stderr, "refused, the sender gets: %d %s\n", refusal.Code, refusal.Phrase())
		return silentError{exitFailed}
	case err != nil:
		return fmt.Errorf("%w: %w", errUntranslatable, err)
	case len(messages) == 0:
		fmt.Fprintln(p.stderr, nothing)
	}
	for _, m := range messages {
		if _, err := fmt.Fprintf(p.stdout, "%s\n", m.Append(nil)); err != nil {
			return err
		}
	}
	return nil
}

// jidOf returns the JID of a SIP address: inside the component's domain for
// someone on SIP, as RFC 7247 has it for someone on XMPP.
func jidOf(given string, u sip.URI, component string, onSIP bool) (xmpp.JID, error) {
	switch {
	case given != "":
		return xmpp.ParseJID(given)
	case onSIP && !strings.EqualFold(u.Host, component):
		return mapping.URIToComponent(u, component)
	default:
		return mapping.URIToJID(u)
	}
}

// response translates the failure of a message into the error for its sender, and what
// becomes of a call.
func (c translateCmd) response(p *program, r *sip.Response) error {
	if _, method := sip.CSeq(r); method == sip.INVITE {
		return c.answered(p, r)
	}
	if r.StatusCode < 300 {
		fmt.Fprintln(p.stderr, nothing)
		return nil
	}
	reply := &xmpp.Message{Type: xmpp.MessageError}
	if from, err := sip.ToOf(r); err == nil { // the response is from whom the request was to
		if reply.From, err = jidOf(c.FromJID, from.URI, c.Component, true); err != nil {
			return fmt.Errorf("sender: %w", err)
		}
	}
	if to, err := sip.FromOf(r); err == nil {
		if reply.To, err = jidOf(c.ToJID, to.URI, c.Component, false); err != nil {
			return fmt.Errorf("receiver: %w", err)
		}
	}
	failure := mapping.StatusToStanzaError(sip.StatusOf(r))
	reply.Error = &failure
	_, err := fmt.Fprintf(p.stdout, "%s\n", reply.Append(nil))
	return err
}

// lost says what could not be carried.
func (p *program) lost(loss []string) {
	for _, l := range loss {
		fmt.Fprintf(p.stderr, "lost: %s\n", l)
	}
}

// printSIP writes a request as it goes over the wire; the second and later ones
// follow an empty line.
func (p *program) printSIP(i int, r *sip.Request) error {
	wire, err := sip.AppendMessage(nil, r)
	if err != nil {
		return fmt.Errorf("%w: %w", errUntranslatable, err)
	}
	if i > 0 {
		wire = append([]byte("\r\n"), wire...)
	}
	if wire[len(wire)-1] != '\n' {
		wire = append(wire, '\n')
	}
	_, err = p.stdout.Write(wire)
	return err
}
