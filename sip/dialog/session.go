package dialog

import (
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
)

// session is the session timer (RFC 4028).
type session struct {
	interval time.Duration // 0: the session does not expire
	minSE    time.Duration // what 422s have taught
	ours     bool          // we refresh
	update   bool          // by UPDATE, which the peer takes
}

// sessionAnswer is what a 2xx of ours says about a request.
type sessionAnswer struct {
	interval time.Duration // 0: nothing
	uac      bool          // the sender of the request refreshes
}

// seconds reads delta-seconds, with parameters behind them.
func seconds(v string) (time.Duration, bool) {
	v, _, _ = strings.Cut(v, ";")
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

// sessionExpires reads the field; refresher is "" when it is not said.
func sessionExpires(msg sip.Message) (d time.Duration, refresher string, ok bool) {
	v := sip.Value(msg, "Session-Expires")
	if d, ok = seconds(v); !ok || d == 0 {
		return 0, "", false
	}
	_, params, _ := strings.Cut(v, ";")
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "refresher") {
			refresher = strings.ToLower(strings.TrimSpace(value))
		}
	}
	return d, refresher, true
}

func deltaSeconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// propose are the headers of an INVITE that begins a call.
func (s *session) propose(cfg *settings, minSE time.Duration) []sip.Header {
	if cfg.SessionExpires < 0 {
		return nil
	}
	s.raise(minSE)
	h := []sip.Header{header("Session-Expires", deltaSeconds(max(cfg.SessionExpires, s.minSE)))}
	return append(h, s.least(cfg)...)
}

func (s *session) raise(minSE time.Duration) {
	s.minSE = max(s.minSE, minSE)
	if s.interval > 0 {
		s.interval = max(s.interval, s.minSE)
	}
}

// least is the Min-SE, which is written when it is not the default (RFC 4028 §5).
func (s *session) least(cfg *settings) []sip.Header {
	if m := max(cfg.MinSE, s.minSE); m > minMinSE {
		return []sip.Header{header("Min-SE", deltaSeconds(m))}
	}
	return nil
}

// renew are the headers of a re-INVITE and an UPDATE: the roles stay (RFC 4028 §7.4).
func (s *session) renew(cfg *settings) []sip.Header {
	if s.interval == 0 {
		return nil
	}
	role := "uas"
	if s.ours {
		role = "uac"
	}
	return append([]sip.Header{header("Session-Expires", deltaSeconds(s.interval)+";refresher="+role)}, s.least(cfg)...)
}

// agreed reads a 2xx to a request of ours (RFC 4028 §7.2).
func (s *session) agreed(c *core, res *sip.Response, first bool) {
	d, refresher, ok := sessionExpires(res)
	if ok {
		s.interval, s.ours = max(d, minMinSE), refresher != "uas"
	} else if first || s.interval > 0 {
		s.interval = 0
	}
	s.schedule(c)
}

// asked judges a request of the peer: 422, or what the 2xx will say (RFC 4028 §9).
func (s *session) asked(cfg *settings, req *sip.Request) (a sessionAnswer, st *sip.Status) {
	timer := sip.HasToken(req, "Supported", "timer") || sip.HasToken(req, "Require", "timer")
	d, refresher, ok := sessionExpires(req)
	if ok && d < cfg.MinSE {
		if timer {
			return a, &sip.Status{Code: 422, Headers: []sip.Header{header("Min-SE", deltaSeconds(cfg.MinSE))}}
		}
		d = cfg.MinSE // a proxy put it there; its sender would not understand a 422
	}
	if !ok {
		if !timer || cfg.SessionExpires < 0 {
			return a, nil
		}
		d = cfg.SessionExpires
	}
	if cfg.SessionExpires > 0 {
		least, _ := seconds(sip.Value(req, "Min-SE"))
		d = max(min(d, cfg.SessionExpires), least, cfg.MinSE)
	}
	a.interval = d
	switch {
	case !timer:
	case refresher == "":
		a.uac = s.interval > 0 && !s.ours // who did it goes on; else we, for then it is done
	default:
		a.uac = refresher == "uac"
	}
	return a, nil
}

// grant starts the timer as our 2xx says it, and gives its headers.
func (s *session) grant(c *core, a sessionAnswer) []sip.Header {
	s.interval, s.ours = a.interval, !a.uac
	s.schedule(c)
	if a.interval == 0 {
		return nil
	}
	if a.uac {
		return []sip.Header{header("Require", "timer"), header("Session-Expires", deltaSeconds(a.interval)+";refresher=uac")}
	}
	return []sip.Header{header("Session-Expires", deltaSeconds(a.interval)+";refresher=uas")}
}

// schedule starts the interval anew (RFC 4028 §10).
func (s *session) schedule(c *core) {
	if s.interval == 0 {
		c.stop(timerRefresh)
		c.stop(timerExpire)
		return
	}
	if s.ours {
		c.arm(timerRefresh, s.interval/2)
	} else {
		c.stop(timerRefresh)
	}
	c.arm(timerExpire, s.interval-min(32*time.Second, s.interval/3))
}

// refresh sends the request that keeps the session.
func (c *core) refresh() {
	switch {
	case c.phase != phaseConfirmed || !c.session.ours || c.session.interval == 0:
	case !c.free() || c.taking != nil:
		c.arm(timerRefresh, c.t1(8)) // whatever is under way may do it
	case c.session.update:
		c.sendOffer(&c.dlg, nil, true, true)
	default:
		c.sendOffer(&c.dlg, c.offers.local, false, true)
	}
}
