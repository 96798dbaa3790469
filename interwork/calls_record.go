package interwork

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stoxgate/stoxgate/interwork/call"
	"github.com/stoxgate/stoxgate/interwork/relay"
)

// callMetrics are what the gateway counts of calls.
type callMetrics struct {
	ended   *prometheus.CounterVec
	current prometheus.Gauge
	setup   prometheus.Histogram
	talk    prometheus.Counter
}

func newCallMetrics(r prometheus.Registerer) *callMetrics {
	m := &callMetrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stoxgate_calls_total",
			Help: "Calls that ended, by direction (x2s, s2x) and result (talked, refused, or the Jingle reason of a call that nobody took).",
		}, []string{"direction", "result"}),
		current: prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoxgate_calls", Help: "Calls that have not ended."}),
		setup: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "stoxgate_call_setup_seconds", Help: "From the answer of one side until both talk.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		talk: prometheus.NewCounter(prometheus.CounterOpts{Name: "stoxgate_call_seconds_total", Help: "Time that was talked."}),
	}
	if r != nil {
		r.MustRegister(m.ended, m.current, m.setup, m.talk)
	}
	return m
}

func (m *callMetrics) count(d call.Direction, result string) {
	m.ended.WithLabelValues(string(d), result).Inc()
}

// recorded accounts for a call: in the store, the metrics, the log and the journal.
func (c *calls) recorded(a *actor, r call.Record) {
	c.ended(a, &r)
	result := string(r.Reason)
	talked := time.Duration(0)
	if !r.Bridged.IsZero() {
		result, talked = "talked", r.Ended.Sub(r.Bridged)
		c.metrics.talk.Add(talked.Seconds())
		c.metrics.setup.Observe(r.Bridged.Sub(r.Answered).Seconds())
	}
	c.metrics.count(r.Direction, result)
	x, s := &r.Stats[relay.Jingle], &r.Stats[relay.SIP]
	c.g.log.Info().Str("flow", a.flow).Str("direction", string(r.Direction)).Stringer("jid", r.User).Str("aor", a.uri.Key()).
		Str("sid", r.SID).Str("call_id", r.CallID).Str("reason", string(r.Reason)).Str("ended_by", string(r.EndedBy)).Int("status", r.Status).
		Dur("talked", talked).Str("codec_xmpp", r.Codecs[0]).Str("codec_sip", r.Codecs[1]).
		Int64("lost_xmpp", x.Lost).Int64("lost_sip", s.Lost).Float64("mos_xmpp", x.MOS).Float64("mos_sip", s.MOS).Msg("call ended")
	a.Note(fmt.Sprintf("%s by %s after %s: %d+%d packets, lost %d+%d, MOS %.1f/%.1f, %s/%s",
		r.Reason, r.EndedBy, talked.Round(10*time.Millisecond), x.Received, s.Received, x.Lost, s.Lost, x.MOS, s.MOS, r.Codecs[0], r.Codecs[1]))
}

// CallStatus is how the calls do.
type CallStatus struct {
	Current int // calls that have not ended
	Dialogs int // of SIP
	Media   relay.Stats
}

// Calls says how the calls do; zero when calls are not carried.
func (g *Gateway) Calls() CallStatus {
	if g.calls == nil {
		return CallStatus{}
	}
	s := CallStatus{Current: g.calls.count(), Dialogs: g.calls.layer.Len()}
	if g.ready.Load() { // the relay is open
		s.Media = g.calls.relay.Stats()
	}
	return s
}
