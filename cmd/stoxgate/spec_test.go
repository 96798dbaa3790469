package main

import (
	"bufio"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateSupport = flag.Bool("update-support", false, "write the support table into README.md")

// document is a row of testdata/spec/index.tsv.
type document struct{ name, support, topic, title, note string }

var supportWords = []string{"yes", "partial", "no", "info"}

func readIndex(t *testing.T) []document {
	t.Helper()
	f, err := os.Open("../../testdata/spec/index.tsv")
	require.NoError(t, err)
	defer f.Close()
	var docs []document
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		c := append(strings.Split(line, "\t"), "", "", "", "")
		d := document{c[0], c[1], c[2], c[3], c[4]}
		require.Contains(t, supportWords, d.support, line)
		require.NotEmpty(t, d.title, line)
		docs = append(docs, d)
	}
	return docs
}

var reference = regexp.MustCompile(`\b(RFC|XEP)[- ](\d{4})\b`)

// A comment may only name a document that the index knows, with what is done of it.
func TestCommentsNameKnownDocuments(t *testing.T) {
	known := map[string]bool{}
	for _, d := range readIndex(t) {
		known[d.name] = true
	}
	unknown := map[string][]string{}
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") && len(e.Name()) > 2 {
			return filepath.SkipDir
		}
		if e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, group := range file.Comments {
			for _, m := range reference.FindAllStringSubmatch(group.Text(), -1) {
				name := m[1] + map[string]string{"RFC": " ", "XEP": "-"}[m[1]] + m[2]
				if !known[name] && !slices.Contains(unknown[name], path) {
					unknown[name] = append(unknown[name], path)
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
	for name, files := range unknown {
		t.Errorf("%s is not in testdata/spec/index.tsv; it is named in %s", name, strings.Join(files, ", "))
	}
}

// supportTable is the README's table: a line for each topic.
func supportTable(docs []document) string {
	var topics []string
	by := map[string]map[string][]string{}
	for _, d := range docs {
		if by[d.topic] == nil {
			by[d.topic] = map[string][]string{}
			topics = append(topics, d.topic)
		}
		by[d.topic][d.support] = append(by[d.topic][d.support], strings.NewReplacer("RFC ", "", "XEP-", "XEP‑").Replace(d.name))
	}
	slices.Sort(topics)
	var b strings.Builder
	b.WriteString("| | in full | in part | not yet |\n|---|---|---|---|\n")
	for _, topic := range topics {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", topic,
			strings.Join(by[topic]["yes"], ", "), strings.Join(by[topic]["partial"], ", "), strings.Join(by[topic]["no"], ", "))
	}
	return b.String()
}

func TestReadmeHasTheSupportTable(t *testing.T) {
	const file, begin, end = "../../README.md", "<!-- support: printed from testdata/spec/index.tsv -->\n", "<!-- end of support -->"
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(data), begin)
	require.True(t, ok, "README.md has no support section")
	got, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "README.md has no end of its support section")
	want := supportTable(readIndex(t))
	if *updateSupport {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+want+end+after), 0o644))
		return
	}
	require.Equal(t, want, got, "run go test ./cmd/stoxgate -run Support -update-support")
	require.LessOrEqual(t, strings.Count(string(data), "\n"), 150, "README.md is for three minutes")
}
