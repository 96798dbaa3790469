package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/stoxgate/stoxgate/"
	root   = "../.."
)

// Groups of the layers table: a name stands for its packages. "x/..." is x and
// all below it, test peers left out.
var groups = map[string][]string{
	"values": {
		"xmpp", "sip", "jingle",
		"sip/cpim", "sip/fthttp", "sip/imdn", "sip/iscomposing", "sip/multipart", "sip/pidf", "sip/rlmi", "sip/sdp", "sip/watcherinfo",
	},
	"xmpp wire": {"xmpp/component", "xmpp/disco"},
	"sip wire":  {"sip/ua", "sip/dialog", "sip/event", "sip/registrar", "sip/msrp"},
	"leaves":    {"interwork/relay", "interwork/store", "interwork/journal"},
	"codecs":    {"interwork/relay/codec", "interwork/relay/jitter", "interwork/relay/transcode", "interwork/relay/tone"},
	"services":  {"interwork/identity", "interwork/presence", "interwork/chat", "interwork/call", "interwork/avatar"},
	"peers":     {"xmpp/xmpptest", "sip/siptest", "jingle/jingletest"},
}

// layer is one rule of the table of layers.
type layer struct {
	packages string   // a group, a package, or "x/..."
	may      []string // the same; nil: nothing of ours
}

// layers says who may import whom of this module (the level table of the
// project's design). The first rule that matches a package counts; a package
// that none matches is an error, so that every new one is given its place.
var layers = []layer{
	// Level 0: values know nothing, jingle is made of stanzas.
	{"jingle", []string{"xmpp"}},
	{"values", nil},

	// Level 1: pure translation, the two wires, leaves.
	{"mapping", []string{"values"}},
	{"xmpp wire", []string{"xmpp", "xmpp wire"}},
	{"sip wire", []string{"values", "sip wire"}}, // of the values, only sip's: see TestFamilies
	{"codecs", []string{"codecs"}},
	{"interwork/relay", []string{"values", "codecs"}},
	{"leaves", []string{"values"}},

	// Level 2: decisions. What a service needs of the wire or of another
	// service it declares as an interface. cause is how all of them fail.
	{"interwork/cause", []string{"values", "mapping"}},
	{"services", []string{"values", "mapping", "leaves", "interwork/cause"}},

	// Level 3: the gateway ties wires to services.
	{"interwork", []string{"values", "mapping", "xmpp wire", "sip wire", "leaves", "services", "interwork/cause"}},

	// Test peers judge this project's code: those of a wire share its values
	// at most, the drivers of real software share nothing.
	{"xmpp/xmpptest", []string{"xmpp", "xmpp wire"}},
	{"sip/siptest", []string{"sip"}},
	{"jingle/jingletest", []string{"xmpp", "jingle", "xmpp/xmpptest"}},
	{"interwork/interworktest", nil},
	{"interwork/interworktest/bench", []string{"values", "peers"}},

	// Level 4: the program. Only the demonstration brings peers along.
	{"cmd/stoxgate/internal/demo", []string{"peers", "interwork/...", "values", "mapping", "xmpp wire", "sip wire", "cmd/stoxgate/..."}},
	{"cmd/stoxgate/...", []string{"interwork/...", "values", "mapping", "xmpp wire", "sip wire", "cmd/stoxgate/..."}},
}

// libraries says in whose folders a wire library may be seen, tests included:
// everywhere else sip.Request and xmpp.Message can only mean ours.
var libraries = []struct {
	library string
	below   []string
}{
	{"gosrc.io/xmpp", []string{"xmpp"}},
	{"github.com/emiago/sipgo", []string{"sip"}},
	{"github.com/pion/sdp", []string{"sip/sdp"}},
	{"github.com/pion/webrtc", []string{"interwork/interworktest"}},
	{"github.com/pion/rtp", []string{"interwork"}},
	{"github.com/pion/", []string{"interwork/relay", "interwork/interworktest/bench"}}, // whose load plays browsers
}

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath                         string
	Dir                                string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var list = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		return nil, fmt.Errorf("go list found %d packages", len(all))
	}
	return all, nil
})

// matches tells whether a package is in a group, is the named one, or is below
// it.
func matches(name, pattern string) bool {
	if members, ok := groups[pattern]; ok {
		return slices.Contains(members, name)
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return (name == base || strings.HasPrefix(name, base+"/")) && !isPeer(name)
	}
	return name == pattern
}

// isPeer tells whether a package is for tests.
func isPeer(name string) bool {
	return slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return strings.HasSuffix(part, "test") })
}

func TestLayers(t *testing.T) {
	for _, p := range packages(t) {
		at := slices.IndexFunc(layers, func(l layer) bool { return matches(p.name(), l.packages) })
		if at < 0 {
			t.Errorf("%s has no place in the table of layers", p.name())
			continue
		}
		for _, path := range p.Imports {
			imported, ours := strings.CutPrefix(path, module)
			if ours && !slices.ContainsFunc(layers[at].may, func(pattern string) bool { return matches(imported, pattern) }) {
				t.Errorf("%s must not import %s", p.name(), imported)
			}
		}
	}
}

// TestFamilies: a wire is of one family and never sees the other's values.
func TestFamilies(t *testing.T) {
	for _, p := range packages(t) {
		for own, foreign := range map[string]string{"sip": "xmpp", "xmpp": "sip"} {
			if p.name() != own && !strings.HasPrefix(p.name(), own+"/") {
				continue
			}
			for _, path := range p.Imports {
				imported, ours := strings.CutPrefix(path, module)
				if ours && (imported == foreign || strings.HasPrefix(imported, foreign+"/") || imported == "jingle") {
					t.Errorf("%s must not import %s", p.name(), imported)
				}
			}
		}
	}
}

func TestWireLibrariesStayHome(t *testing.T) {
	for _, p := range packages(t) {
		for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			for _, l := range libraries {
				if !strings.HasPrefix(path, l.library) {
					continue
				}
				if !slices.ContainsFunc(l.below, func(home string) bool { return p.name() == home || strings.HasPrefix(p.name(), home+"/") }) {
					t.Errorf("%s imports %s, which belongs below %s", p.name(), path, strings.Join(l.below, " or "))
				}
				break // the most particular rule
			}
		}
	}
}

// TestMappingIsPure: translation has no clock, no chance, no sockets, no
// goroutines and no log. Time and identifiers are arguments.
func TestMappingIsPure(t *testing.T) {
	impureImports := []string{
		"context", "crypto/rand", "database/sql", "log", "log/slog", "math/rand", "math/rand/v2",
		"net", "net/http", "os", "os/exec", "sync", "sync/atomic", "github.com/rs/zerolog", "github.com/google/uuid",
	}
	impureTime := []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}
	for _, p := range packages(t) {
		if p.name() != "mapping" {
			continue
		}
		for _, path := range p.Imports {
			if slices.Contains(impureImports, path) {
				t.Errorf("mapping must not import %s", path)
			}
		}
		files := token.NewFileSet()
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%v: mapping must not start goroutines", files.Position(n.Pos()))
				case *ast.SelectorExpr:
					if from, ok := n.X.(*ast.Ident); ok && from.Name == "time" && slices.Contains(impureTime, n.Sel.Name) {
						t.Errorf("%v: mapping must not use time.%s", files.Position(n.Pos()), n.Sel.Name)
					}
				}
				return true
			})
		}
		return
	}
	t.Error("there is no package mapping")
}

// TestNoSleepInTests: tests wait for conditions, use synctest, or a clock of
// their own.
func TestNoSleepInTests(t *testing.T) {
	bubbles := map[string]bool{}
	var sleepers []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 2 && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// In a bubble of synctest, sleeping is how the clock moves; the bubble may be
		// made by a helper in another file of the package.
		dir := filepath.Dir(path)
		if bytes.Contains(text, []byte("testing/synctest")) {
			bubbles[dir] = true
		}
		if bytes.Contains(text, []byte("time"+".Sleep(")) {
			sleepers = append(sleepers, path)
		}
		return nil
	})
	for _, path := range sleepers {
		if !bubbles[filepath.Dir(path)] {
			t.Errorf("%s sleeps", path)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
