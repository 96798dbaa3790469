package journal

import (
	"fmt"
	"html"
	"strings"
)

// Measures of the SVG in pixels. Text is monospaced, so its width is known.
const (
	svgChar   = 7.3 // width of a character at 12 px
	svgRow    = 34
	svgLine   = 15 // between lines of a label or note
	svgHead   = 46
	svgGutter = 78
	svgMargin = 16
	svgWrap   = 46 // characters in a line of a label
)

// svgStyle follows the colour scheme of the page or viewer.
const svgStyle = `text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1c2733}` +
	`.n{font-weight:600}.t,.o{fill:#6b7785}.o{font-style:italic}` +
	`.l{stroke:#c3ccd6}.x,.s{stroke-width:1.5}.x{stroke:#0a7a5c}.s{stroke:#2257c4}.xh{fill:#0a7a5c}.sh{fill:#2257c4}` +
	`@media(prefers-color-scheme:dark){text{fill:#e3e9f0}.t,.o{fill:#93a0ae}.l{stroke:#44505c}` +
	`.x{stroke:#4fc9a4}.s{stroke:#7fa9ff}.xh{fill:#4fc9a4}.sh{fill:#7fa9ff}}`

// SVG draws entries as a sequence diagram. The drawing is a whole document
// without scripts or references, safe to embed; the bytes of a message, where
// kept, show as its tooltip.
func SVG(entries []Entry) string {
	s := newSVG(entries)
	y := svgHead + 12
	for i := range entries {
		y = s.entry(&entries[i], y)
	}
	return s.document(y)
}

type svgLadder struct {
	entries []Entry
	names   []string
	x       map[string]int
	span    int
	width   int
	body    strings.Builder
}

func newSVG(entries []Entry) *svgLadder {
	s := &svgLadder{entries: entries, names: Lanes(entries), x: map[string]int{}}
	if len(s.names) == 0 {
		s.names = []string{Gateway}
	}
	longest := 0
	for i := range entries {
		for _, part := range wrap(clean(entries[i].Summary), svgWrap) {
			longest = max(longest, textWidth(part))
		}
	}
	for _, name := range s.names {
		longest = max(longest, textWidth(clean(name)))
	}
	s.span = max(150, pixels(longest)+30)
	for i, name := range s.names {
		s.x[name] = svgGutter + pixels(textWidth(clean(s.names[0])))/2 + i*s.span
	}
	last := s.names[len(s.names)-1]
	s.width = s.x[last] + max(pixels(textWidth(clean(last)))/2, 60) + svgMargin
	if len(s.names) == 1 {
		s.width = max(s.width, s.x[last]+pixels(svgWrap)+svgMargin)
	}
	return s
}

func pixels(chars int) int { return int(float64(chars)*svgChar + 0.5) }

func escape(s string) string { return html.EscapeString(s) }

func (s *svgLadder) text(class string, x, y int, anchor, text string) {
	fmt.Fprintf(&s.body, "<text class=%q x=\"%d\" y=\"%d\"", class, x, y)
	if anchor != "" {
		fmt.Fprintf(&s.body, " text-anchor=%q", anchor)
	}
	fmt.Fprintf(&s.body, ">%s</text>\n", escape(text))
}

// entry draws one entry below y and returns where the next begins.
func (s *svgLadder) entry(e *Entry, y int) int {
	s.body.WriteString("<g>")
	if len(e.Message) > 0 {
		fmt.Fprintf(&s.body, "<title>%s</title>", escape(rawText(e.Message)))
	}
	s.body.WriteByte('\n')
	y += svgLine
	s.text("t", svgGutter-18, y, "end", Offset(e.At.Sub(s.entries[0].At)))
	from, fromOK := s.x[e.From]
	to, toOK := s.x[e.To]
	summary := clean(e.Summary)
	left := s.x[s.names[0]]
	switch {
	case fromOK && toOK && from != to:
		left = min(from, to)
		y = s.arrow(e, from, to, summary, y)
	default:
		if fromOK {
			left = from
		} else if toOK {
			left = to
		} else if x, ok := s.x[Gateway]; ok {
			left = x
		}
		for i, part := range wrap(summary, svgWrap) {
			if i == 0 {
				part = "◆ " + part
			}
			s.text("", left+8, y, "", part)
			y += svgLine
		}
	}
	for i, part := range wrap(clean(e.Note), svgWrap) {
		if i == 0 {
			part = "↳ " + part
		}
		s.text("o", left+8, y, "", part)
		y += svgLine
	}
	s.body.WriteString("</g>\n")
	return y + svgRow - 2*svgLine
}

func (s *svgLadder) arrow(e *Entry, from, to int, summary string, y int) int {
	for _, part := range wrap(summary, svgWrap) {
		s.text("", (from+to)/2, y, "middle", part)
		y += svgLine
	}
	line, tip := "x", -9
	if e.Protocol == SIP {
		line = "s"
	}
	if from > to {
		tip = 9
	}
	y -= svgLine - 7
	fmt.Fprintf(&s.body, "<line class=%q x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", line, from, y, to+tip, y)
	fmt.Fprintf(&s.body, "<path class=%q d=\"M%d %dl%d -4v8z\"/>\n", line+"h", to, y, tip)
	return y + svgLine
}

// rawText makes the bytes of a message readable in a tooltip, line ends kept.
func rawText(raw []byte) string {
	lines := strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n")
	for i := range lines {
		lines[i] = clean(lines[i])
	}
	return strings.Join(lines, "\n")
}

func (s *svgLadder) document(bottom int) string {
	height := bottom + svgMargin
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n",
		s.width, height, s.width, height)
	fmt.Fprintf(&b, "<style>%s</style>\n", svgStyle)
	for _, name := range s.names {
		x := s.x[name]
		fmt.Fprintf(&b, "<line class=\"l\" x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\"/>\n", x, svgHead-14, x, height-svgMargin/2)
		fmt.Fprintf(&b, "<text class=\"n\" x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", x, svgHead-24, escape(clean(name)))
	}
	b.WriteString(s.body.String())
	b.WriteString("</svg>\n")
	return b.String()
}
