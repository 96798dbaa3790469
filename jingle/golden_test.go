package jingle_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/xmpp"
)

var update = flag.Bool("update", false, "write what the package does into the golden files")

// TestGolden runs testdata/jingle: in is a stanza as a client sends it, or an element of XEP-0215; out is what
// Parse and Element make of it, ignored what Parse left out, info what ParseInfo makes of the payloads.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/jingle/*.txtar")
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
			if len(a.Files) == 0 || a.Files[0].Name != "in" {
				t.Fatal("no section in")
			}
			out, err := golden(a.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			a.Files = append(a.Files[:1:1], out...)
			got := string(txtar.Format(a))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
			again, err := golden(section(out, "out"))
			if err != nil || string(section(again, "out")) != string(section(out, "out")) {
				t.Fatalf("what was written is read differently (%v):\n%s", err, cmp.Diff(string(section(out, "out")), string(section(again, "out"))))
			}
			if ignored := section(again, "ignored"); ignored != nil {
				t.Fatalf("of what was written is left out: %s", ignored)
			}
		})
	}
}

func section(files []txtar.File, name string) []byte {
	for _, f := range files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// golden returns the sections for an input.
func golden(in []byte) ([]txtar.File, error) {
	e, err := xmpp.ParseElement(in)
	if err != nil {
		return nil, err
	}
	if e.Name.Space == xmpp.NSExtDisco {
		s, err := jingle.ParseServices(e)
		if err != nil {
			return nil, err
		}
		return []txtar.File{{Name: "out", Data: indent(s.Element())}}, nil
	}
	if jingle.Is(e) {
		return goldenJingle(e)
	}
	if e.Name.Space == xmpp.NSJingleMessage {
		m, err := jingle.ParseMessage(e)
		if err != nil {
			return nil, err
		}
		return []txtar.File{{Name: "out", Data: indent(m.Element())}}, nil
	}
	st, err := xmpp.ParseStanza(e)
	if err != nil {
		return nil, err
	}
	switch st := st.(type) {
	case *xmpp.IQ:
		return goldenJingle(st.Payload)
	case *xmpp.Message:
		m, _, err := jingle.FromMessage(st)
		if err != nil {
			return nil, err
		}
		return []txtar.File{{Name: "out", Data: indent(m.Element())}}, nil
	}
	return nil, nil
}

func goldenJingle(e *xmpp.Element) ([]txtar.File, error) {
	j, err := jingle.Parse(e)
	if err != nil {
		return nil, err
	}
	out := []txtar.File{{Name: "out", Data: indent(j.Element())}}
	if len(j.Ignored) > 0 {
		out = append(out, txtar.File{Name: "ignored", Data: []byte(strings.Join(j.Ignored, "\n") + "\n")})
	}
	return out, nil
}

// indent prints an element with one line for each start tag, without the white space between elements.
func indent(e *xmpp.Element) []byte {
	var b strings.Builder
	printElement(&b, e, "", "")
	return []byte(b.String())
}

func printElement(b *strings.Builder, e *xmpp.Element, space, margin string) {
	mixed := strings.TrimSpace(e.Text()) != ""
	if mixed || len(e.Children) == 0 {
		b.WriteString(margin + string(e.Append(nil, space)) + "\n")
		return
	}
	head := *e
	head.Children = nil
	tag := strings.TrimSuffix(string(head.Append(nil, space)), "/>")
	b.WriteString(margin + tag + ">\n")
	for c := range e.Elements() {
		printElement(b, c, e.Name.Space, margin+"  ")
	}
	b.WriteString(margin + "</" + e.Name.Local + ">\n")
}

// goldenInputs returns the payloads of all inputs.
func goldenInputs(tb testing.TB) [][]byte {
	tb.Helper()
	files, err := filepath.Glob("../testdata/jingle/*.txtar")
	if err != nil || len(files) == 0 {
		tb.Fatal("no golden files", err)
	}
	var inputs [][]byte
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		e, err := xmpp.ParseElement(a.Files[0].Data)
		if err != nil {
			tb.Fatal(file, err)
		}
		if e.Name.Space == xmpp.NSClient {
			for c := range e.Elements() {
				inputs = append(inputs, []byte(c.String()))
			}
			continue
		}
		inputs = append(inputs, []byte(e.String()))
	}
	return inputs
}
