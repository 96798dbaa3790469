package siptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"
)

// SenderConfig describes a [Sender].
type SenderConfig struct {
	Transport string // udp (default) or tcp
	Proxy     string // host:port of the gateway
	Window    int    // pairs, each with one MESSAGE under way; 1 when zero
	Rate      int    // messages a second in all, each on a pair that is free; 0: as fast as they are answered. UDP only
	Total     int    // messages to send in all
	// From and To give the URIs of a pair, 0 <= pair < Window.
	From, To func(pair int) string
	// Body gives the n-th text of a pair; "hello N" when nil.
	Body func(pair, n int) string
	// Headers are added to every request, "Name: value".
	Headers []string
	// T1 is the retransmission base over UDP (500 ms when zero); a message is given
	// up after 64*T1, over TCP as well.
	T1 time.Duration
}

// Report is what a [Sender] has seen.
type Report struct {
	Sent            int         // messages started
	Answers         map[int]int // final responses by status
	TimedOut        int
	Retransmissions int
	Duration        time.Duration
	// P50 … Max are times from first sending to final response.
	P50, P90, P99, Max time.Duration
}

// Rate is the number of final responses per second.
func (r Report) Rate() float64 {
	n := 0
	for _, c := range r.Answers {
		n += c
	}
	return float64(n) / r.Duration.Seconds()
}

func (r Report) String() string {
	return fmt.Sprintf("%d sent in %v, %.0f/s, answers %v, %d timed out, %d retransmissions, p50 %v p90 %v p99 %v max %v",
		r.Sent, r.Duration.Round(time.Millisecond), r.Rate(), r.Answers, r.TimedOut, r.Retransmissions, r.P50, r.P90, r.P99, r.Max)
}

// Sender is the SIP side of a load test: each pair sends its next MESSAGE when
// the former has its final response (a closed loop), as RFC 3428 §8 demands. One
// goroutine, one socket.
type Sender struct {
	cfg   SenderConfig
	run   string // part of every branch and Call-ID
	proto string // for Via
	local string
	fixed []byte // headers that never change
	slots []slot

	report    Report
	latencies []time.Duration
	done      int   // slots without further messages
	idle      []int // slots that wait for their turn, longest first
}

// slot is one pair.
type slot struct {
	from, to  string
	n         int // message under way, 0 = none
	sent      time.Time
	resend    time.Time
	interval  time.Duration
	raw       []byte
	sequenced int
}

// NewSender checks the configuration.
func NewSender(cfg SenderConfig) (*Sender, error) {
	if cfg.From == nil || cfg.To == nil || cfg.Total < 1 {
		return nil, errors.New("siptest: sender needs From, To and Total")
	}
	if cfg.Rate > 0 && cfg.Transport != "" && cfg.Transport != "udp" {
		return nil, errors.New("siptest: sender has a rate over UDP only")
	}
	if cfg.Window < 1 {
		cfg.Window = 1
	}
	if cfg.Body == nil {
		cfg.Body = func(_, n int) string { return "hello " + strconv.Itoa(n) }
	}
	if cfg.T1 == 0 {
		cfg.T1 = 500 * time.Millisecond
	}
	s := &Sender{cfg: cfg, run: token(4), report: Report{Answers: map[int]int{}}}
	for _, h := range cfg.Headers {
		s.fixed = append(append(s.fixed, h...), "\r\n"...)
	}
	for i := range cfg.Window {
		s.slots = append(s.slots, slot{from: cfg.From(i), to: cfg.To(i)})
	}
	return s, nil
}

// Run sends all messages and returns the report; ctx ends it early.
func (s *Sender) Run(ctx context.Context) (Report, error) {
	start := time.Now()
	var err error
	switch s.cfg.Transport {
	case "", "udp":
		err = s.runUDP(ctx)
	case "tcp":
		err = s.runTCP(ctx)
	default:
		return Report{}, fmt.Errorf("siptest: sender has no transport %q", s.cfg.Transport)
	}
	r := s.report
	r.Duration = time.Since(start)
	if n := len(s.latencies); n > 0 {
		slices.Sort(s.latencies)
		r.P50, r.P90, r.P99, r.Max = s.latencies[n/2], s.latencies[n*9/10], s.latencies[n*99/100], s.latencies[n-1]
	}
	return r, err
}

// start makes a pair's next request in its buffer; false when none is left.
func (s *Sender) start(i int, now time.Time) bool {
	p := &s.slots[i]
	if s.report.Sent == s.cfg.Total {
		p.n = 0
		s.done++
		return false
	}
	s.report.Sent++
	p.sequenced++
	p.n = p.sequenced
	p.sent, p.interval = now, s.cfg.T1
	p.resend = now.Add(p.interval)
	body := s.cfg.Body(i, p.n)
	b := append(p.raw[:0], "MESSAGE "...)
	b = append(append(b, p.to...), " SIP/2.0\r\nVia: SIP/2.0/"...)
	b = append(append(append(b, s.proto...), ' '), s.local...)
	b = append(b, ";rport;branch="...)
	b = s.appendBranch(b, i, p.n)
	b = append(append(append(b, "\r\nMax-Forwards: 70\r\nFrom: <"...), p.from...), ">;tag=load"...)
	b = strconv.AppendInt(b, int64(i), 10)
	b = append(append(append(b, "\r\nTo: <"...), p.to...), ">\r\nCall-ID: "...)
	b = strconv.AppendInt(append(strconv.AppendInt(b, int64(i), 10), '-'), int64(p.n), 10)
	b = append(append(append(b, '-'), s.run...), "@siptest\r\nCSeq: "...)
	b = append(strconv.AppendInt(b, int64(p.n), 10), " MESSAGE\r\nContent-Type: text/plain;charset=UTF-8\r\n"...)
	b = append(b, s.fixed...)
	b = strconv.AppendInt(append(b, "Content-Length: "...), int64(len(body)), 10)
	p.raw = append(append(b, "\r\n\r\n"...), body...)
	return true
}

// next is start for a pair that has become free, which waits for its turn when there
// is a rate.
func (s *Sender) next(i int, now time.Time) bool {
	if s.cfg.Rate <= 0 || s.report.Sent == s.cfg.Total {
		return s.start(i, now)
	}
	s.slots[i].n = 0
	s.idle = append(s.idle, i)
	return false
}

// paced starts what is due and gives the time until the next message is.
func (s *Sender) paced(begin time.Time, send func(i int) error) (time.Duration, error) {
	for len(s.idle) > 0 {
		now := time.Now()
		due := begin.Add(time.Duration(s.report.Sent) * time.Second / time.Duration(s.cfg.Rate))
		if wait := due.Sub(now); wait > 0 && s.report.Sent < s.cfg.Total {
			return wait, nil
		}
		i := s.idle[0]
		s.idle = s.idle[1:]
		if s.start(i, now) { // else all are sent, and the pair has ended
			if err := send(i); err != nil {
				return 0, err
			}
		}
	}
	return time.Hour, nil
}

const branchCookie = "z9hG4bK-"

func (s *Sender) appendBranch(b []byte, pair, n int) []byte {
	b = append(append(append(b, branchCookie...), s.run...), '-')
	b = append(strconv.AppendInt(b, int64(pair), 10), '-')
	return strconv.AppendInt(b, int64(n), 10)
}

// finished reads a response: the pair whose message it ends, or -1.
func (s *Sender) finished(raw []byte, now time.Time) int {
	if len(raw) < 12 || !bytes.HasPrefix(raw, []byte("SIP/2.0 ")) {
		return -1
	}
	code, err := strconv.Atoi(string(raw[8:11]))
	if err != nil || code < 200 {
		return -1
	}
	at := bytes.Index(raw, []byte(branchCookie))
	if at < 0 {
		return -1
	}
	id := raw[at+len(branchCookie):]
	if end := bytes.IndexAny(id, ";\r\n, "); end >= 0 {
		id = id[:end]
	}
	id, found := bytes.CutPrefix(id, []byte(s.run+"-"))
	pair, n, ok := bytes.Cut(id, []byte("-"))
	i, err1 := strconv.Atoi(string(pair))
	seq, err2 := strconv.Atoi(string(n))
	if !found || !ok || err1 != nil || err2 != nil || i < 0 || i >= len(s.slots) || seq == 0 || s.slots[i].n != seq {
		return -1 // a repeat, or not ours
	}
	s.report.Answers[code]++
	s.latencies = append(s.latencies, now.Sub(s.slots[i].sent))
	return i
}

func (s *Sender) runUDP(ctx context.Context) error {
	conn, err := newBatchConn("127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("siptest: %w", err)
	}
	defer conn.udp.Close()
	to, err := net.ResolveUDPAddr("udp4", s.cfg.Proxy)
	if err != nil {
		return fmt.Errorf("siptest: %w", err)
	}
	s.proto, s.local = "UDP", conn.udp.LocalAddr().String()
	send := func(i int) error { return conn.queue(append(conn.next(), s.slots[i].raw...), to) }
	now := time.Now()
	begin := now
	for i := range s.slots {
		if s.next(i, now) {
			if err := send(i); err != nil {
				return fmt.Errorf("siptest: %w", err)
			}
		}
	}
	tick := s.cfg.T1 / 4
	scan := now.Add(tick)
	for s.done < len(s.slots) {
		wait := tick
		if s.cfg.Rate > 0 {
			if wait, err = s.paced(begin, send); err != nil {
				return fmt.Errorf("siptest: %w", err)
			}
			wait = min(wait, tick)
		}
		if err := conn.flush(); err != nil {
			return fmt.Errorf("siptest: %w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		conn.deadline(time.Now().Add(wait))
		var failed error
		err := conn.read(func(raw []byte, _ net.Addr) {
			now := time.Now()
			if i := s.finished(raw, now); i >= 0 && s.next(i, now) {
				failed = errors.Join(failed, send(i))
			}
		})
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) || failed != nil {
			return fmt.Errorf("siptest: %w", errors.Join(err, failed))
		}
		if now := time.Now(); now.After(scan) {
			scan = now.Add(tick)
			if err := s.overdue(now, send); err != nil {
				return fmt.Errorf("siptest: %w", err)
			}
		}
	}
	return nil
}

// overdue repeats (when send is not nil) and gives up what waits too long.
func (s *Sender) overdue(now time.Time, again func(i int) error) error {
	for i := range s.slots {
		p := &s.slots[i]
		if p.n == 0 {
			continue
		}
		if now.Sub(p.sent) > 64*s.cfg.T1 {
			s.report.TimedOut++
			if s.next(i, now) {
				if err := again(i); err != nil {
					return err
				}
			}
			continue
		}
		if s.proto == "UDP" && now.After(p.resend) {
			s.report.Retransmissions++
			p.interval = min(2*p.interval, 8*s.cfg.T1)
			p.resend = now.Add(p.interval)
			if err := again(i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sender) runTCP(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.cfg.Proxy)
	if err != nil {
		return fmt.Errorf("siptest: %w", err)
	}
	defer conn.Close()
	s.proto, s.local = "TCP", conn.LocalAddr().String()
	var out []byte
	send := func(i int) error { out = append(out, s.slots[i].raw...); return nil }
	for i := range s.slots {
		if s.start(i, time.Now()) {
			_ = send(i)
		}
	}
	in := make([]byte, 0, 256<<10)
	tick := s.cfg.T1
	for s.done < len(s.slots) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		_ = conn.SetDeadline(time.Now().Add(64 * s.cfg.T1))
		if _, err := conn.Write(out); err != nil {
			return fmt.Errorf("siptest: %w", err)
		}
		out = out[:0]
		_ = conn.SetReadDeadline(time.Now().Add(tick))
		n, err := conn.Read(in[len(in):cap(in)])
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("siptest: %w", err)
		}
		if err != nil {
			_ = s.overdue(time.Now(), send)
			continue
		}
		in = in[:len(in)+n]
		rest := in
		now := time.Now()
		for {
			raw, more, ok := cutMessage(rest)
			if !ok {
				break
			}
			rest = more
			if i := s.finished(raw, now); i >= 0 && s.start(i, now) {
				_ = send(i)
			}
		}
		in = in[:copy(in, rest)]
	}
	return nil
}
