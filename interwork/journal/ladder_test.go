package journal

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

const (
	mira = "mira@chat.example"
	otto = "otto@voice.example"
)

func at(ms float64) time.Time { return noon.Add(time.Duration(ms * float64(time.Millisecond))) }

// message is the story of one message with its receipt.
var message = []Entry{
	{At: at(0), From: mira, To: Gateway, Protocol: XMPP, Summary: "message chat id=a1", Message: []byte("<message to='otto&amp;co'>\n</message>")},
	{At: at(0.4), From: Gateway, Protocol: XMPP, Summary: "in the outbox as 42"},
	{At: at(0.9), From: Gateway, To: otto, Protocol: SIP, Summary: "MESSAGE sip:otto@192.0.2.7:5060;transport=tcp text/plain"},
	{At: at(31.2), From: otto, To: Gateway, Protocol: SIP, Summary: "200 OK"},
	{At: at(31.7), From: Gateway, To: mira, Protocol: XMPP, Summary: "message received id=a1", Note: "the receipt is ours: the phone does not speak IMDN, so 200 is all that is known"},
	{At: at(5031.7), From: Gateway, To: Gateway, Protocol: SIP, Summary: "removed from the outbox"},
}

// forked has lanes that are crossed.
var forked = []Entry{
	{At: at(0), From: "carrier", To: Gateway, Protocol: SIP, Summary: "MESSAGE sip:+4930123456@sip.example.org"},
	{At: at(1), From: Gateway, To: "mira@chat.example/desk", Protocol: XMPP, Summary: "message"},
	{At: at(1), From: Gateway, To: "mira@chat.example/phone", Protocol: XMPP, Summary: "message"},
	{At: at(2), From: "mira@chat.example/desk", To: Gateway, Protocol: XMPP, Summary: "error item-not-found"},
	{At: at(3), From: Gateway, To: "carrier", Protocol: SIP, Summary: "404 Not Found", Note: "two lanes"},
}

// hostile has what peers may try to do to a terminal or a page.
var hostile = []Entry{
	{At: at(0), From: "\x1b[31mevil@chat.example", To: Gateway, Protocol: XMPP, Summary: "a\x07b\r\nc\u202edrawkcab <script>alert(1)</script> \x9b2J \uFFFF"},
	{At: at(1), From: Gateway, To: "会議室@voice.example", Protocol: SIP, Summary: "MESSAGE 日本語 é e\u0301", Note: "幅の広い文字 and a_word_that_is_much_longer_than_the_room_that_there_is_for_it_in_this_line_of_text"},
	{At: at(1000), From: "", To: "", Summary: "about nobody"},
	{At: at(5000_000), From: Gateway, To: "", Protocol: SIP, Note: "later"},
}

func TestLadderGolden(t *testing.T) {
	for name, tc := range map[string]struct {
		entries []Entry
		options LadderOptions
	}{
		"message-100.txt":     {message, LadderOptions{}},
		"message-60.txt":      {message, LadderOptions{Width: 60}},
		"message-ascii.txt":   {message, LadderOptions{Width: 80, ASCII: true}},
		"message-clock.txt":   {message, LadderOptions{Width: 200, Clock: true}},
		"forked-100.txt":      {forked, LadderOptions{}},
		"forked-lanes.txt":    {forked, LadderOptions{Width: 120, Lanes: []string{"carrier", Gateway}}},
		"forked-narrow.txt":   {forked, LadderOptions{Width: 10, ASCII: true}},
		"hostile.txt":         {hostile, LadderOptions{Width: 90}},
		"one-note-nobody.txt": {hostile[2:3], LadderOptions{}},
	} {
		t.Run(name, func(t *testing.T) {
			text := Ladder(tc.entries, tc.options)
			golden(t, name, text)
			for _, r := range text {
				assert.False(t, r != '\n' && r < 0x20 || r == 0x9b || r == 0x202e, "control character %q", r)
			}
			if tc.options.ASCII {
				for _, r := range text {
					assert.Less(t, r, rune(utf8.RuneSelf))
				}
			}
			for row := range strings.Lines(text) {
				if w := tc.options.Width; w >= 60 {
					assert.LessOrEqual(t, textWidth(strings.TrimSuffix(row, "\n")), w, row)
				}
			}
		})
	}
	assert.Empty(t, Ladder(nil, LadderOptions{}))
}

func TestLiveGolden(t *testing.T) {
	for name, o := range map[string]LadderOptions{
		"live-120.txt":   {Width: 120},
		"live-ascii.txt": {Width: 90, ASCII: true},
		"live.txt":       {},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewLive(o)
			var b strings.Builder
			b.WriteString(v.Heading())
			for i, story := range [][]Entry{message, forked, hostile} {
				for _, e := range story {
					e.Flow = "abcdef-" + string(rune('1'+i))
					b.WriteString(v.Draw(e))
				}
			}
			b.WriteString(v.Draw(Entry{At: noon, Flow: "a-flow-with-a-long-name", From: mira, Protocol: XMPP, Summary: "came online"}))
			golden(t, name, b.String())
		})
	}
}

func TestSVGGolden(t *testing.T) {
	for name, entries := range map[string][]Entry{
		"message.svg": message,
		"forked.svg":  forked,
		"hostile.svg": hostile,
		"nobody.svg":  hostile[2:3],
		"empty.svg":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			svg := SVG(entries)
			golden(t, name, svg)
			assert.NotContains(t, svg, "<script")
			dec := xml.NewDecoder(strings.NewReader(svg))
			for {
				_, err := dec.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
			}
		})
	}
}

func FuzzLadder(f *testing.F) {
	f.Add(mira, otto, "message chat", "note", 80)
	f.Add("", "\x1b[2J", "日本語\u0301", strings.Repeat("x", 300), 1)
	f.Fuzz(func(t *testing.T, from, to, summary, note string, width int) {
		entries := []Entry{
			{At: noon, From: from, To: Gateway, Protocol: XMPP, Summary: summary},
			{At: at(4000), From: Gateway, To: to, Protocol: SIP, Summary: note, Note: summary},
			{At: at(4001), From: to, To: from, Protocol: SIP, Summary: summary, Message: []byte(note)},
		}
		if width > 1000 {
			width = 1000
		}
		text := Ladder(entries, LadderOptions{Width: width})
		for _, r := range text {
			if r != '\n' && r < 0x20 {
				t.Fatalf("control character %q", r)
			}
		}
		if err := xml.Unmarshal([]byte(SVG(entries)), new(struct{})); err != nil {
			t.Fatal(err)
		}
		NewLive(LadderOptions{Width: width}).Draw(entries[2])
	})
}

// A peer cannot blow a drawing up with a long text.
func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	entries := []Entry{{At: noon, From: long + "\u00e9", To: Gateway, Protocol: XMPP, Summary: long, Note: long + "\xff"}}
	assert.Less(t, len(Ladder(entries, LadderOptions{Width: 40})), 100_000)
	assert.Less(t, len(SVG(entries)), 20_000)
}
