package relay

import "time"

// limiter admits a number of packets per second, in whole seconds.
type limiter struct {
	second time.Time
	n      int
}

func (l *limiter) allow(now time.Time, most int) bool {
	if d := now.Sub(l.second); d >= time.Second || d < 0 {
		l.second, l.n = now, 0
	}
	l.n++
	return l.n <= most
}
