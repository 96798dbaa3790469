package multipart

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	text := Part{Fields: []Field{{"Content-Type", "text/plain"}}, Body: []byte("hello")}
	image := Part{Fields: []Field{{"Content-Type", "image/png"}, {"Content-ID", "<x>"}}, Body: []byte("\x89PNG\r\n\n")}
	tests := []struct {
		name, contentType, body string
		want                    *Message
	}{
		{
			"mixed", "multipart/mixed;boundary=b1",
			"--b1\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b1\r\nContent-Type: image/png\r\nContent-ID: <x>\r\n\r\n\x89PNG\r\n\n\r\n--b1--\r\n",
			&Message{"mixed", "b1", []Part{text, image}},
		},
		{
			"preamble, epilogue, padding", `Multipart/Alternative; boundary="b 1"`,
			"not a part\r\n--b 1  \r\nContent-Type:text/plain\r\n\r\nhello\r\n--b 1--\r\nnot one either\r\n--b 1\r\n\r\nx",
			&Message{"alternative", "b 1", []Part{text}},
		},
		{
			"bare LF, not closed", "multipart/mixed; boundary=b",
			"--b\ncontent-type: text/plain\n\nhello\n--b\n\nx\n",
			&Message{"mixed", "b", []Part{{Fields: []Field{{"content-type", "text/plain"}}, Body: []byte("hello")}, {Body: []byte("x")}}},
		},
		{
			"longer boundary inside", "multipart/mixed; boundary=b",
			"--b\r\n\r\n--bb\r\nx\r\n--b--",
			&Message{"mixed", "b", []Part{{Body: []byte("--bb\r\nx")}}},
		},
		{
			"folded header", "multipart/mixed; boundary=b",
			"--b\r\nContent-Type: text/plain;\r\n charset=utf-8\r\n\r\nx\r\n--b--",
			&Message{"mixed", "b", []Part{{Fields: []Field{{"Content-Type", "text/plain; charset=utf-8"}}, Body: []byte("x")}}},
		},
		{
			"nested", "multipart/mixed; boundary=o",
			"--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain\r\n\r\nhello\r\n--i--\r\n--o--",
			&Message{"mixed", "o", []Part{{
				Fields: []Field{{"Content-Type", "multipart/alternative; boundary=i"}},
				Body:   []byte("--i\r\nContent-Type: text/plain\r\n\r\nhello\r\n--i--"),
				Nested: &Message{"alternative", "i", []Part{text}},
			}}},
		},
		{
			"empty parts", "multipart/mixed; boundary=b", "--b\r\n--b\r\n\r\n--b--",
			&Message{"mixed", "b", []Part{{}, {}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(tt.contentType, []byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, cmp.Comparer(bytes.Equal)); d != "" {
				t.Fatal(d)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	deep := "x"
	for i := range maxDepth + 1 {
		deep = fmt.Sprintf("--d%d\r\nContent-Type: multipart/mixed;boundary=d%d\r\n\r\n%s\r\n--d%d--", i+1, i, deep, i+1)
	}
	wide := strings.Repeat("--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n1\r\n--c\r\n\r\n2\r\n--c--\r\n", 30) + "--b--"
	tests := []struct {
		name, contentType, body string
		want                    error
	}{
		{"no type", "", "", ErrMalformed},
		{"not multipart", "text/plain; boundary=b", "--b--", ErrMalformed},
		{"no boundary", "multipart/mixed", "--b--", ErrMalformed},
		{"long boundary", "multipart/mixed; boundary=" + strings.Repeat("b", 71), "", ErrMalformed},
		{"boundary missing", "multipart/mixed; boundary=b", "hello", ErrMalformed},
		{"only closed", "multipart/mixed; boundary=b", "--b--", ErrMalformed},
		{"no header name", "multipart/mixed; boundary=b", "--b\r\nhello\r\n\r\nx\r\n--b--", ErrMalformed},
		{"folded first", "multipart/mixed; boundary=b", "--b\r\n hello\r\n\r\nx\r\n--b--", ErrMalformed},
		{"many headers", "multipart/mixed; boundary=b", "--b\r\n" + strings.Repeat("A: b\r\n", maxFields+1) + "\r\n--b--", ErrMalformed},
		{"long headers", "multipart/mixed; boundary=b", "--b\r\nA: " + strings.Repeat("b", maxHeader) + "\r\n\r\n--b--", ErrMalformed},
		{"many parts", "multipart/mixed; boundary=b", strings.Repeat("--b\r\n\r\nx\r\n", maxParts+1) + "--b--", ErrTooMany},
		{"many parts, open", "multipart/mixed; boundary=b", strings.Repeat("--b\r\n\r\nx\r\n", maxParts+1), ErrTooMany},
		{"many parts over levels", "multipart/mixed; boundary=b", wide, ErrTooMany},
		{"too deep", fmt.Sprintf("multipart/mixed;boundary=d%d", maxDepth+1), deep, ErrTooMany},
		{"bad nested", "multipart/mixed; boundary=b", "--b\r\nContent-Type: multipart/mixed\r\n\r\nx\r\n--b--", ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse(tt.contentType, []byte(tt.body)); !errors.Is(err, tt.want) {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestInjection(t *testing.T) {
	m := &Message{Subtype: "mixed", Parts: []Part{{
		Fields: []Field{{"Content-Type", "text/plain\r\nX-Evil: 1\r\n\r\n"}, {"A:\r\n", "b"}, {"\r\n", "c"}},
		Body:   []byte("x\r\n--seed\r\n\r\nforged\r\n--seed-1--"),
	}}}
	m.Boundary = NewBoundary("seed", m.Parts)
	got, err := Parse(m.ContentType(), m.Append(nil))
	if err != nil || len(got.Parts) != 1 || len(got.Parts[0].Fields) != 2 {
		t.Fatalf("%v, %q", err, m)
	}
	m.Boundary = "a\"b c"
	if ct := m.ContentType(); ct != `multipart/mixed;boundary="ab c"` {
		t.Error(ct)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Message{Subtype: "alternative"}
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			m.Parts = append(m.Parts, Part{
				Fields: []Field{{"Content-Type", "text/plain"}, {"X", rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "x")}},
				Body:   rapid.SliceOfN(rapid.SampledFrom([]byte("-bB\r\n x")), 0, 30).Draw(t, "body"),
			})
		}
		m.Boundary = NewBoundary("b", m.Parts)
		got, err := Parse(m.ContentType(), m.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, got, cmp.Comparer(bytes.Equal)); d != "" {
			t.Fatalf("%s\n%q", d, m)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("multipart/mixed;boundary=b", []byte("--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"))
	f.Add(`multipart/alternative; boundary="o"`, []byte("--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nx\n--i--\n--o--"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		m, err := Parse(contentType, body)
		if err != nil {
			return
		}
		if len(m.Parts) == 0 || len(m.Parts) > maxParts {
			t.Fatalf("%d parts", len(m.Parts))
		}
	})
}
