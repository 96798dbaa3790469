package jitter

// delays measures how the packets of a stream are delayed: how much more than the
// fastest one of the last seconds. All in ticks.
type delays struct {
	rate, min, max int64

	known    bool
	fastest  int64 // the least transit: arrival less timestamp
	next     int64 // the least transit of the window that runs
	since    int64 // when that window began
	jitter   int64 // times 16 (RFC 3550 A.8)
	last     int64 // transit
	lastTS   int64
	frame    int64 // the usual distance of two packets
	target   int64
	histo    [buckets]float32 // weights by additional delay
	seen     int              // packets, while that matters
	sinceSet int
}

const (
	buckets     = 42 // of 5 ms
	bucketParts = 200
	window      = 4 // seconds in which one packet was not delayed
	// What was is forgotten with a time constant of so many packets.
	forgetting = 1.0 / 150
	quantile   = 0.97
)

func newDelays(rate, least, most int64) delays {
	d := delays{rate: rate, min: least, max: most, frame: rate / 50}
	// Before anything is known: a packet and a half.
	d.target = min(max(d.frame*3/2, least), most)
	d.histo[1] = 0.5
	d.histo[5] = 0.5
	return d
}

// forget begins anew with the clock of the sender; how the network is stays known.
func (d *delays) forget() { d.known = false }

// off is how far a transit is from the usual.
func (d *delays) off(transit int64) int64 {
	if !d.known {
		return 0
	}
	return max(transit-d.fastest, d.fastest-transit)
}

func (d *delays) arrived(now, ts int64) {
	transit := now - ts
	if !d.known {
		d.known, d.fastest, d.next, d.since = true, transit, transit, now
		d.last, d.lastTS = transit, ts
	}
	if x := transit - d.last; x != 0 {
		if x < 0 {
			x = -x
		}
		d.jitter += x - (d.jitter+8)>>4
	} else {
		d.jitter -= (d.jitter + 8) >> 4
	}
	if step := ts - d.lastTS; step > 0 && step <= d.rate/5 {
		d.frame += (step - d.frame) / 8
	}
	d.last, d.lastTS = transit, ts

	// The fastest of this window and of the one before it.
	d.fastest, d.next = min(d.fastest, transit), min(d.next, transit)
	if now-d.since > window*d.rate {
		d.fastest, d.next, d.since = d.next, transit, now
	}
	d.count(transit - d.fastest)
}

// count puts a delay into the histogram and moves the target now and then.
func (d *delays) count(extra int64) {
	i := min(extra*bucketParts/d.rate, buckets-1)
	weight := float32(forgetting)
	if d.seen < 150 {
		// The less is known, the more a packet tells.
		d.seen++
		weight = 1 / float32(d.seen+10)
	}
	for k := range d.histo {
		d.histo[k] *= 1 - weight
	}
	d.histo[i] += weight
	if d.sinceSet++; d.sinceSet < 4 && i < buckets/2 {
		return
	}
	d.sinceSet = 0
	sum, k := float32(0), 0
	for k < buckets-1 {
		if sum += d.histo[k]; sum >= quantile {
			break
		}
		k++
	}
	// The upper end of the bucket.
	d.target = min(max(int64(k+1)*d.rate/bucketParts, d.min), d.max)
}

// of is how long a packet with this timestamp has waited by now since the fastest packet
// would have come.
func (d *delays) of(now, ts int64) int64 { return now - ts - d.fastest }
