package interwork

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the gateway's own; the packages below have theirs.
type metrics struct {
	messages *prometheus.CounterVec
	link     prometheus.Gauge
	underWay atomic.Int64 // transactions, deliveries and commits whose end is awaited
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "stoxgate_messages_total",
			Help: "Messages that ended, by direction (x2s, s2x) and result (delivered, uncertain, or what went wrong).",
		}, []string{"direction", "result"}),
		link: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "stoxgate_xmpp_link_up", Help: "Whether the component stream stands.",
		}),
	}
	if r != nil {
		r.MustRegister(m.messages, m.link, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "stoxgate_under_way", Help: "Transactions, deliveries and commits whose end is awaited.",
		}, func() float64 { return float64(m.underWay.Load()) }))
	}
	return m
}
