package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth is more than any valid file nests; it ends loops of YAML aliases.
const maxDepth = 16

// maxFile keeps a wrong file name, such as that of a disk image, from being
// taken for a configuration.
const maxFile = 4 << 20

// decoder fills a Config from YAML nodes and collects what is wrong.
type decoder struct {
	problems problems
	places   map[string]int
	env      Environment
	depth    int
	quiet    bool // defaults are being decoded: their places do not count
}

// decode reports whether the content could be read at all: when not, what is
// missing in it would be noise.
func decode(c *Config, data []byte, env Environment) (ps problems, readable bool) {
	d := &decoder{places: map[string]int{}, env: env}
	root := d.parse(data)
	if len(d.problems) > 0 {
		return d.problems, false
	}
	readable = d.section(root, reflect.ValueOf(c).Elem(), "", 0)
	c.places = d.places
	return d.problems, readable
}

// parse returns the top node, nil when the file is empty.
func (d *decoder) parse(data []byte) *yaml.Node {
	if len(data) > maxFile {
		d.problems.add(0, "", "", "the file is larger than 4 MiB")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if !errors.Is(err, io.EOF) {
			d.syntax(err)
		}
		return nil
	}
	var next yaml.Node
	if err := dec.Decode(&next); err == nil {
		d.problems.add(next.Line, "", "remove everything from --- on", "the file holds more than one YAML document")
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	return doc.Content[0]
}

var syntaxLine = regexp.MustCompile(`^line (\d+): `)

// syntax takes the line out of an error of the YAML library.
func (d *decoder) syntax(err error) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	hint := ""
	if strings.Contains(text, "cannot start any token") {
		hint = "indent with spaces, and put texts that begin with a special character in quotes"
	}
	d.problems.add(line, "", hint, "not valid YAML: %s", text)
}

// resolve follows aliases.
func (d *decoder) resolve(n *yaml.Node) *yaml.Node {
	for range maxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}

func empty(n *yaml.Node) bool { return n == nil || n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// section decodes a mapping into a struct; n may be nil for a section that is
// not written down. line is where the section's own key stands. It reports
// whether n is a section at all.
func (d *decoder) section(n *yaml.Node, v reflect.Value, prefix string, line int) bool {
	d.depth++
	defer func() { d.depth-- }()
	keys := sectionOf(v.Type())
	seen := map[string]int{}
	values := map[string]*yaml.Node{}
	n = d.resolve(n)
	switch {
	case empty(n):
	case n.Kind != yaml.MappingNode || d.depth > maxDepth:
		d.problems.add(n.Line, strings.TrimSuffix(prefix, "."), "write \"key: value\" lines here, such as \""+keys[0].name+": …\"", "must be a section, not %s", describe(n))
		return false
	default:
		for i := 0; i+1 < len(n.Content); i += 2 {
			d.key(n.Content[i], n.Content[i+1], keys, prefix, seen, values)
		}
	}
	for i := range keys {
		f := &keys[i]
		path := prefix + f.name
		value, given := values[f.name], seen[f.name] > 0
		if given && !d.quiet {
			d.places[path] = seen[f.name]
		}
		if f.required && !given {
			d.problems.add(line, path, exampleHint(f), "is required")
			continue
		}
		d.field(value, given, v.Field(f.index), f, path, seen[f.name])
	}
	return true
}

func exampleHint(f *field) string {
	if f.example == "" {
		return ""
	}
	return fmt.Sprintf("for example %s: %s", f.name, f.example)
}

// key sorts one line of a mapping into values, or complains.
func (d *decoder) key(k, value *yaml.Node, keys section, prefix string, seen map[string]int, values map[string]*yaml.Node) {
	if k.Kind != yaml.ScalarNode {
		d.problems.add(k.Line, strings.TrimSuffix(prefix, "."), "", "keys must be words")
		return
	}
	if k.Tag == "!!merge" {
		d.problems.add(k.Line, prefix+k.Value, "write the keys out", "merge keys are not supported")
		return
	}
	name := k.Value
	if keys.find(name) == nil {
		d.problems.add(k.Line, prefix+name, unknownHint(name, prefix, keys), "unknown key")
		return
	}
	if at := seen[name]; at > 0 {
		d.problems.add(k.Line, prefix+name, "", "is given twice, first on line %d", at)
		return
	}
	seen[name] = k.Line
	values[name] = value
}

// unknownHint suggests the key of this section that is closest, or else a key
// of that very name somewhere else.
func unknownHint(name, prefix string, keys section) string {
	if hint := didYouMean(name, keys.names()); hint != "" {
		return hint
	}
	var found []string
	walkKeys(reflect.TypeFor[Config](), "", func(path string, f *field) {
		if strings.EqualFold(f.name, name) {
			found = append(found, path)
		}
	})
	if len(found) > 0 && len(found) <= 3 {
		return "did you mean " + oneOf(found) + "?"
	}
	where := "the top level"
	if prefix != "" {
		where = strings.TrimSuffix(prefix, ".")
	}
	return where + " has " + strings.Join(keys.names(), ", ")
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

// field decodes one value, or its default when it is not given.
func (d *decoder) field(n *yaml.Node, given bool, v reflect.Value, f *field, path string, line int) {
	if isSection(f.typ) {
		d.section(n, v, path+".", line)
		return
	}
	n = d.resolve(n)
	if given && empty(n) {
		d.problems.add(line, path, "give a value or remove the key", "has no value")
		return
	}
	if !given {
		if f.def == "" {
			return
		}
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(f.def), &doc); err != nil {
			panic(fmt.Sprintf("config: default of %s: %v", path, err)) // a mistake in the tags of this package
		}
		d.quiet = true
		defer func() { d.quiet = false }()
		n = doc.Content[0]
	}
	elem, list := isList(f.typ)
	if !list {
		d.scalar(n, v, f, path)
		return
	}
	if f.single && n.Kind == yaml.ScalarNode {
		v.Set(reflect.MakeSlice(f.typ, 1, 1))
		d.scalar(n, v.Index(0), f, path)
		return
	}
	if n.Kind != yaml.SequenceNode {
		hint := "write each as a line that begins with \"- \""
		if n.Kind == yaml.ScalarNode {
			hint = fmt.Sprintf("write \"%s: [%s]\"", f.name, n.Value)
		}
		d.problems.add(n.Line, path, hint, "must be a list, not %s", describe(n))
		return
	}
	v.Set(reflect.MakeSlice(f.typ, len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		itemPath := fmt.Sprintf("%s[%d]", path, i)
		if !d.quiet {
			d.places[itemPath] = item.Line
		}
		if isSection(elem) {
			d.section(item, v.Index(i), itemPath+".", item.Line)
			continue
		}
		if item = d.resolve(item); empty(item) {
			d.problems.add(n.Content[i].Line, itemPath, "", "has no value")
			continue
		}
		d.scalar(item, v.Index(i), f, itemPath)
	}
}

// scalar decodes a single value and checks it against the field's tags.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f *field, path string) {
	if n.Kind != yaml.ScalarNode {
		d.problems.add(n.Line, path, "", "must be a single value, not %s", describe(n))
		return
	}
	text, err := expand(n.Value, d.env)
	if err != nil {
		d.problems.add(n.Line, path, "set it, or write ${NAME:-default}", "%s", strings.ReplaceAll(err.Error(), "\n", ", "))
		return
	}
	if len(f.enum) > 0 && !slices.Contains(f.enum, text) {
		d.problems.add(n.Line, path, didYouMeanOr(text, f.enum), "%q is not possible", text)
		return
	}
	if err := set(v, text); err != nil {
		var s suggestion
		hint := ""
		if errors.As(err, &s) {
			hint = s.hint
		}
		d.problems.add(n.Line, path, hint, "%s", err)
		return
	}
	d.bounds(n.Line, v, f, path)
}

// set stores text in v by the rules of v's type.
func set(v reflect.Value, text string) error {
	if s, ok := v.Addr().Interface().(scalar); ok {
		return s.set(text)
	}
	switch v.Kind() {
	case reflect.Bool:
		switch strings.ToLower(text) {
		case "true", "yes", "on":
			v.SetBool(true)
		case "false", "no", "off":
			v.SetBool(false)
		default:
			return suggestion{fmt.Errorf("%q is neither true nor false", text), didYouMean(text, []string{"true", "false"})}
		}
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(int64(n))
	default:
		v.SetString(text)
	}
	return nil
}

// bounds checks the min and max tags of numbers, durations and sizes.
func (d *decoder) bounds(line int, v reflect.Value, f *field, path string) {
	within := func(bound string, wrong func(int64) bool, word string) {
		if bound == "" {
			return
		}
		limit := reflect.New(v.Type()).Elem()
		if err := set(limit, bound); err != nil {
			panic(fmt.Sprintf("config: bound of %s: %v", path, err)) // a mistake in the tags of this package
		}
		if wrong(limit.Int()) {
			d.problems.add(line, path, "", "must be %s %s", word, bound)
		}
	}
	within(f.min, func(limit int64) bool { return v.Int() < limit }, "at least")
	within(f.max, func(limit int64) bool { return v.Int() > limit }, "at most")
}
