package sdp

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what the package does into the golden files")

// TestGolden reads what programs in the field send ("in") and compares what is written of it ("out") and what
// holds for each medium ("effective").
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../../testdata/sdp/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := string(txtar.Format(a))
			d, err := Parse(a.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			out := d.String()
			again, err := Parse([]byte(out))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(d, again, cmpopts.EquateEmpty()); diff != "" {
				t.Error("read again it differs", diff)
			}
			a.Files = append(a.Files[:1:1],
				txtar.File{Name: "out", Data: []byte(strings.ReplaceAll(out, "\r\n", "\n"))},
				txtar.File{Name: "effective", Data: []byte(effective(d))})
			got := string(txtar.Format(a))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func effective(d *Description) string {
	var b strings.Builder
	for i := range d.Media {
		m := d.Effective(i)
		fmt.Fprintf(&b, "%s %s rtp=%v rtcp=%v ice=%s/%s setup=%s keys=%d", m.Kind, m.Direction, m.Address(), m.RTCPAddress(), m.ICE.Ufrag, m.ICE.Pwd,
			m.Setup, len(m.Fingerprints))
		for _, c := range m.Codecs {
			fmt.Fprintf(&b, " %d:%s/%d", c.PayloadType, c.Name, c.ClockRate)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestParseErrors(t *testing.T) {
	tests := []struct {
		name, in string
		want     error
	}{
		{"empty", "", ErrSyntax},
		{"blank", "\r\n \r\n", ErrSyntax},
		{"other text", "hello", ErrSyntax},
		{"XML", "<?xml version='1.0'?>", ErrSyntax},
		{"another version", "v=1\r\n", ErrSyntax},
		{"media without port", "v=0\r\nm=audio\r\n", ErrSyntax},
		{"media with a bad port", "v=0\r\nm=audio x RTP/AVP 0\r\n", ErrSyntax},
		{"media with a port too large", "v=0\r\nm=audio 65536 RTP/AVP 0\r\n", ErrSyntax},
		{"connection of another network", "v=0\r\nc=ATM NSAP 47\r\n", ErrSyntax},
		{"connection without address", "v=0\r\nc=IN IP4\r\n", ErrSyntax},
		{"too many media", "v=0\r\n" + strings.Repeat("m=audio 1 RTP/AVP 0\r\n", MaxMedia+1), ErrTooLarge},
		{"too many bytes", "v=0\r\ns=" + strings.Repeat("x", MaxSize), ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if d, err := Parse([]byte(tt.in)); !errors.Is(err, tt.want) || d != nil {
				t.Fatal(d, err)
			}
		})
	}
}

func TestParseIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("v=0\r\nm=audio 1 RTP/AVP")
	for i := range 300 {
		fmt.Fprintf(&b, " %d", i)
	}
	b.WriteString("\r\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "a=ssrc:%d x:y\r\n", i)
	}
	for range 400 {
		b.WriteString("a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n")
	}
	d, err := Parse([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	m := d.Media[0]
	if len(m.Codecs) != 128 || len(m.SSRCs) != maxEach || len(m.Candidates) != maxEach {
		t.Fatal(len(m.Codecs), len(m.SSRCs), len(m.Candidates))
	}
}

func TestNothingEndsItsLine(t *testing.T) {
	evil := "x\r\na=evil\r\n"
	d := &Description{
		Origin: Origin{Username: evil, Address: evil}, Name: evil, Connection: &Connection{Address: evil},
		Bandwidths: []Bandwidth{{evil, evil}}, Direction: Direction(evil), ICE: ICE{Ufrag: evil, Pwd: evil, Options: []string{evil}},
		Fingerprints: []Fingerprint{{evil, evil}}, Setup: Setup(evil), Groups: []Group{{evil, []string{evil}}}, Attributes: []Attribute{{evil, evil}},
		Media: []Media{{
			Kind: evil, Port: 9, Protocol: "RTP/AVP" + evil, MID: evil, MSID: evil, RTCP: &RTCP{Connection: &Connection{Address: evil}},
			Codecs:     []Codec{{Name: evil, Format: evil, Feedback: []Feedback{{evil, evil, evil}}}},
			Candidates: []Candidate{{Foundation: evil, Protocol: evil, Address: evil, Type: evil, RelAddr: evil, Extensions: []Parameter{{evil, evil}}}},
			Cryptos:    []Crypto{{evil, evil, evil, evil}}, Feedback: []Feedback{{evil, evil, evil}}, Extensions: []Extension{{1, Direction(evil), evil, evil}},
			SSRCs: []SSRC{{1, []Attribute{{evil, evil}}}}, SSRCGroups: []SSRCGroup{{evil, []uint32{1}}}, Content: []string{evil},
			RemoteCandidates: []RemoteCandidate{{1, evil, 1}},
		}, {Kind: evil, Protocol: evil, Formats: []string{evil}}},
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(d.String(), "\r\n"), "\r\n") {
		if len(line) < 2 || line[1] != '=' || strings.ContainsAny(line, "\r\n") || strings.HasPrefix(line, "a=evil") {
			t.Errorf("%q", line)
		}
	}
}

func TestParameters(t *testing.T) {
	tests := []struct {
		in   string
		want []Parameter
		out  string
	}{
		{"", nil, ""},
		{"0-15", []Parameter{{"", "0-15"}}, "0-15"},
		{"96/96/96", []Parameter{{"", "96/96/96"}}, "96/96/96"},
		{" minptime=10 ;  useinbandfec = 1 ;", []Parameter{{"minptime", "10"}, {"useinbandfec", "1"}}, "minptime=10;useinbandfec=1"},
		{"sprop=aGk=;x", []Parameter{{"sprop", "aGk="}, {"", "x"}}, "sprop=aGk=;x"},
		{"annexb=", []Parameter{{"annexb", ""}}, "annexb="},
	}
	for _, tt := range tests {
		c := Codec{Format: tt.in}
		got := c.Parameters()
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q: %s", tt.in, diff)
		}
		if out := FormatParameters(got); out != tt.out {
			t.Errorf("%q: %q", tt.in, out)
		}
	}
	c := Codec{Format: "Mode=20;x=1"}
	if v, ok := c.Parameter("mode"); v != "20" || !ok {
		t.Error(v, ok)
	}
	if _, ok := c.Parameter("y"); ok {
		t.Error("y")
	}
}

func TestDirections(t *testing.T) {
	all := []Direction{SendRecv, SendOnly, RecvOnly, Inactive}
	// RFC 3264 §6.1: rows what the answerer wants, columns what is offered.
	answers := [4][4]Direction{
		{SendRecv, RecvOnly, SendOnly, Inactive},
		{SendOnly, Inactive, SendOnly, Inactive},
		{RecvOnly, RecvOnly, Inactive, Inactive},
		{Inactive, Inactive, Inactive, Inactive},
	}
	for i, want := range all {
		for j, offered := range all {
			if got := want.Answer(offered); got != answers[i][j] {
				t.Errorf("%s to %s: %s", want, offered, got)
			}
		}
		if want.Reverse().Reverse() != want {
			t.Error(want)
		}
	}
	if got := Direction("").Answer(""); got != SendRecv {
		t.Error(got)
	}
}

func TestParseCandidate(t *testing.T) {
	c, ok := ParseCandidate("a=candidate:842163049 1 UDP 1677729535 203.0.113.7 42160 TYP srflx raddr 0.0.0.0 rport 9 generation 0 ufrag ab+/ network-cost 50")
	want := Candidate{
		Foundation: "842163049", Component: 1, Protocol: "udp", Priority: 1677729535, Address: "203.0.113.7", Port: 42160, Type: "srflx",
		RelAddr: "0.0.0.0", RelPort: 9, Extensions: []Parameter{{"generation", "0"}, {"ufrag", "ab+/"}, {"network-cost", "50"}},
	}
	if diff := cmp.Diff(want, c); diff != "" || !ok {
		t.Fatal(diff)
	}
	if c.Extension("ufrag") != "ab+/" || c.Extension("none") != "" {
		t.Error(c.Extensions)
	}
	for _, bad := range []string{
		"", "1 1 udp 1 192.0.2.1 1 typ", "1 0 udp 1 192.0.2.1 1 typ host", "1 257 udp 1 192.0.2.1 1 typ host", "1 1 udp x 192.0.2.1 1 typ host",
		"1 1 udp 1 192.0.2.1 99999 typ host", "1 1 udp 1 192.0.2.1 1 type host", "1 1 udp 1 [] 1 typ host",
	} {
		if _, ok := ParseCandidate(bad); ok {
			t.Error(bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../../testdata/sdp/*.txtar")
	for _, file := range files {
		if a, err := txtar.ParseFile(file); err == nil {
			f.Add(a.Files[0].Data)
		}
	}
	f.Add([]byte("v=0\nm=audio 0 RTP/AVP"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrSyntax) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		text := d.Append(nil)
		if len(text) > MaxSize {
			return
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("%v: %q", err, text)
		}
		text = again.Append(nil)
		if again, err = Parse(text); err != nil {
			t.Fatalf("%v: %q", err, text)
		}
		if diff := cmp.Diff(string(text), again.String()); diff != "" {
			t.Fatal(diff)
		}
		for i := range d.Media {
			m := d.Effective(i)
			_, _ = m.Address(), m.RTCPAddress()
			for _, c := range m.Codecs {
				_ = c.Parameters()
			}
		}
		n := NewNegotiation(Origin{})
		if err := n.RemoteOffer(d); err == nil {
			if _, err := n.LocalAnswer(d); err != nil {
				t.Fatal(err)
			}
		}
	})
}
