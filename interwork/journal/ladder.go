package journal

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// LadderOptions shape a ladder in text form.
type LadderOptions struct {
	Width int      // cells of the terminal, 100 when 0; more lanes than fit make it wider
	ASCII bool     // draw with ASCII characters only; texts of peers stay as they are
	Lanes []string // order of the lanes from left to right; those not named follow. See Lanes
	Clock bool     // time of day instead of the offset from the first entry
}

const (
	defaultWidth = 100
	gutterWidth  = 11 // "   12.3456 " or "15:04:05.0 "
	minSpan      = 14 // cells between two lanes
	minName      = 10 // cells for the name of a lane, however narrow the terminal
	gapAfter     = 2 * time.Second
)

// strokes are the characters a ladder is drawn with.
type strokes struct {
	lane, gap, dash, cross, right, left, from, into, dot, note, more string
}

var (
	unicodeStrokes = strokes{lane: "│", gap: "┊", dash: "─", cross: "┼", right: "▶", left: "◀", from: "├", into: "┤", dot: "◆", note: "↳", more: "…"}
	asciiStrokes   = strokes{lane: "|", gap: ":", dash: "-", cross: "+", right: ">", left: "<", from: "|", into: "|", dot: "*", note: "`-", more: "~"}
)

// Lanes returns the lanes that entries need, from left to right: those only
// XMPP uses, those both protocols use (the gateway), those only SIP uses; each
// group in order of appearance, the gateway last in its own.
func Lanes(entries []Entry) []string {
	const onXMPP, onSIP = 1, 2
	var names []string
	use := map[string]int{}
	for i := range entries {
		bit := onXMPP
		if entries[i].Protocol == SIP {
			bit = onSIP
		}
		for _, lane := range [...]string{entries[i].From, entries[i].To} {
			if lane == "" {
				continue
			}
			if use[lane] == 0 {
				names = append(names, lane)
			}
			use[lane] |= bit
		}
	}
	rank := func(lane string) int {
		switch {
		case lane == Gateway:
			return 3
		case use[lane] == onXMPP:
			return 1
		case use[lane] == onSIP:
			return 4
		}
		return 2
	}
	slices.SortStableFunc(names, func(a, b string) int { return rank(a) - rank(b) })
	return names
}

// Ladder draws entries as a sequence diagram in text, one line per message
// where its summary fits the arrow. The result ends with a line end; it is
// empty when there is nothing to draw.
func Ladder(entries []Entry, o LadderOptions) string {
	if len(entries) == 0 {
		return ""
	}
	l := newLadder(entries, o)
	var b strings.Builder
	l.heading(&b)
	for i := range entries {
		if i > 0 {
			l.gap(&b, entries[i].At.Sub(entries[i-1].At))
		}
		l.entry(&b, &entries[i], l.time(entries[i].At))
	}
	return b.String()
}

// ladder is the geometry of one drawing.
type ladder struct {
	strokes
	names  []string
	x      []int // cell of each lane
	right  int   // first cell that is not used
	gutter int
	start  time.Time
	clock  bool
}

func newLadder(entries []Entry, o LadderOptions) *ladder {
	if o.Width <= 0 {
		o.Width = defaultWidth
	}
	l := &ladder{strokes: unicodeStrokes, gutter: gutterWidth, start: entries[0].At, clock: o.Clock}
	if o.ASCII {
		l.strokes = asciiStrokes
	}
	l.names = slices.Clone(o.Lanes)
	for _, lane := range Lanes(entries) {
		if !slices.Contains(l.names, lane) {
			l.names = append(l.names, lane)
		}
	}
	if len(l.names) == 0 { // notes that belong to nobody
		l.names = []string{Gateway}
	}
	l.place(o.Width, l.wanted(entries))
	return l
}

// wanted is the distance of two lanes at which every summary fits its arrow.
func (l *ladder) wanted(entries []Entry) int {
	want := minSpan
	for i := range entries {
		e := &entries[i]
		from, to := l.lane(e.From), l.lane(e.To)
		if from < 0 || to < 0 || from == to {
			continue
		}
		hops := max(from-to, to-from)
		want = max(want, (textWidth(clean(e.Summary))+labelRoom+hops)/hops)
	}
	for _, name := range l.names {
		want = max(want, textWidth(clean(name))+2)
	}
	return want
}

// labelRoom is what an arrow with a label needs beside the label: a dash and a
// space on both sides and the head.
const labelRoom = 5

// place gives every lane its cell.
func (l *ladder) place(width, want int) {
	n := len(l.names)
	first := min(textWidth(clean(l.names[0])), max(minName, width/n-2)) / 2
	last := min(textWidth(clean(l.names[n-1])), max(minName, width/n-2)) - 1
	last -= last / 2
	span := 0
	if n > 1 {
		span = max(minSpan, min(want, (width-l.gutter-first-last-1)/(n-1)))
	}
	l.x = make([]int, n)
	for i := range l.x {
		l.x[i] = l.gutter + first + i*span
	}
	l.right = l.x[n-1] + last + 1
	if n == 1 {
		l.right = max(l.right, width)
	}
}

func (l *ladder) lane(name string) int {
	if name == "" {
		return -1
	}
	return slices.Index(l.names, name)
}

// heading writes the names of the lanes, each centred on its lane.
func (l *ladder) heading(b *strings.Builder) {
	row := newLine(l.right)
	for i, name := range l.names {
		room := l.right
		if n := len(l.x); n > 1 {
			room = l.x[1] - l.x[0] - 2
		}
		name = truncate(clean(name), room, l.more)
		row.put(max(l.x[i]-textWidth(name)/2, 0), name)
	}
	l.write(b, row)
	l.write(b, l.blank(l.strokes.lane))
}

// blank is a row with nothing but the lanes.
func (l *ladder) blank(stroke string) line {
	row := newLine(l.right)
	for _, x := range l.x {
		row.put(x, stroke)
	}
	return row
}

func (l *ladder) write(b *strings.Builder, row line) {
	b.WriteString(row.String())
	b.WriteByte('\n')
}

// gap marks a pause between two entries.
func (l *ladder) gap(b *strings.Builder, d time.Duration) {
	if d < gapAfter {
		return
	}
	row := l.blank(l.strokes.gap)
	row.put(0, pad(d.Round(100*time.Millisecond).String(), l.gutter-1))
	l.write(b, row)
}

// entry draws one message: label lines if the summary does not fit its arrow,
// the arrow, the note. stamp goes in front of the first line.
func (l *ladder) entry(b *strings.Builder, e *Entry, stamp string) {
	from, to := l.lane(e.From), l.lane(e.To)
	var rows []line
	if from < 0 || to < 0 || from == to {
		rows = l.remark(max(from, to), l.dot, e.Summary)
		from = max(from, to, 0)
		to = from
	} else {
		rows = l.arrow(l.x[from], l.x[to], clean(e.Summary))
	}
	rows = append(rows, l.remark(min(from, to), l.note, e.Note)...)
	for i, row := range rows {
		if i == 0 {
			row.put(0, stamp)
		}
		l.write(b, row)
	}
}

// arrow draws from one cell to another, over the lanes between.
func (l *ladder) arrow(from, to int, label string) []line {
	low, high := min(from, to), max(from, to)
	var rows []line
	inner := high - low - 1
	if textWidth(label)+labelRoom > inner {
		for _, text := range wrap(label, inner-2) {
			row := l.blank(l.strokes.lane)
			row.put(low+2, text)
			rows = append(rows, row)
		}
		label = ""
	}
	row := l.blank(l.strokes.lane)
	for x := low + 1; x < high; x++ {
		if row[x] == l.strokes.lane {
			row.put(x, l.cross)
		} else {
			row.put(x, l.dash)
		}
	}
	if from < to {
		row.put(from, l.from)
		row.put(to-1, l.strokes.right)
	} else {
		row.put(from, l.into)
		row.put(to+1, l.left)
	}
	if label != "" {
		label = " " + label + " "
		row.put(low+1+(inner-textWidth(label))/2, label)
	}
	return append(rows, row)
}

// remark draws text beside a lane: over the lanes to the right of it, or to
// the left of the last lane where there is no room on its right.
func (l *ladder) remark(lane int, mark, text string) []line {
	text = clean(text)
	if strings.TrimSpace(text) == "" {
		return nil
	}
	lane = max(lane, 0)
	indent := textWidth(mark) + 1
	x := l.x[lane] + 2
	room := l.right - x - indent
	toLeft := lane > 0 && room < minSpan
	if toLeft {
		room = l.x[lane] - l.x[lane-1] - indent - 3
	}
	var rows []line
	for i, part := range wrap(text, room) {
		row := l.blank(l.strokes.lane)
		if toLeft {
			row.put(l.x[lane]-indent-1-textWidth(part), part)
			if i == 0 {
				row.put(l.x[lane]-indent, mark)
			}
		} else {
			row.put(x, strings.Repeat(" ", indent)+part+" ")
			if i == 0 {
				row.put(x, mark)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// time is what stands in the gutter.
func (l *ladder) time(at time.Time) string {
	if l.clock {
		return at.Format("15:04:05.0")
	}
	return pad(Offset(at.Sub(l.start)), l.gutter-1)
}

// Offset writes a distance in time as seconds with four decimals, fewer from
// 1000 s on.
func Offset(d time.Duration) string {
	decimals := 4
	if d >= 1000*time.Second || d <= -1000*time.Second {
		decimals = 1
	}
	return strconv.FormatFloat(d.Seconds(), 'f', decimals, 64)
}

// pad puts s to the right end of n cells.
func pad(s string, n int) string {
	if w := textWidth(s); w < n {
		return strings.Repeat(" ", n-w) + s
	}
	return s
}
