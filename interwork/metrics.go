package interwork

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stoxgate/stoxgate/interwork/chat"
)

// delivered is the result label of a message that arrived.
const delivered = "delivered"

// count counts one ended message.
func (m *metrics) count(d chat.Direction, result string) {
	switch {
	case result != delivered:
		m.messages.WithLabelValues(string(d), result).Inc()
	case d == chat.XMPPToSIP:
		m.deliveredX2S.Inc()
	default:
		m.deliveredS2X.Inc()
	}
}

// metrics are the gateway's own; the packages below have theirs.
type metrics struct {
	messages *prometheus.CounterVec
	// The counters of the usual end, found once instead of for every message.
	deliveredX2S, deliveredS2X prometheus.Counter

	presence *prometheus.CounterVec
	avatars  *prometheus.CounterVec
	link     prometheus.Gauge
	underWay atomic.Int64 // transactions, deliveries and commits whose end is awaited
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stoxgate_messages_total",
			Help: "Messages that ended, by direction (x2s, s2x) and result (delivered, uncertain, or what went wrong).",
		}, []string{"direction", "result"}),
		presence: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stoxgate_presence_total", Help: "What happened to presence, by direction (watching, sharing) and kind.",
		}, []string{"direction", "what"}),
		avatars: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stoxgate_avatars_total", Help: "Pictures looked for, by direction (shown to XMPP, served to SIP) and result.",
		}, []string{"direction", "result"}),
		link: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stoxgate_xmpp_link_up", Help: "Whether the component stream stands.",
		}),
	}
	m.deliveredX2S = m.messages.WithLabelValues(string(chat.XMPPToSIP), delivered)
	m.deliveredS2X = m.messages.WithLabelValues(string(chat.SIPToXMPP), delivered)
	if r != nil {
		r.MustRegister(m.messages, m.presence, m.avatars, m.link, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stoxgate_under_way", Help: "Transactions, deliveries and commits whose end is awaited.",
		}, func() float64 { return float64(m.underWay.Load()) }))
	}
	return m
}
