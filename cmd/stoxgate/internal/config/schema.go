package config

import (
	"reflect"
	"strings"
)

// field is one key of a section, read from the tags of a struct field.
type field struct {
	name     string
	doc      string
	def      string // YAML text; empty means the zero value
	example  string
	enum     []string
	min, max string
	single   bool   // of a list: one value may stand without brackets
	required bool   // decoding insists on it
	instead  string // "or secret_file": a check insists on one of them
	index    int
	typ      reflect.Type
}

// section is a struct type with its keys in the order of the file.
type section []field

func sectionOf(t reflect.Type) section {
	var s section
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		out := field{
			name: name, doc: f.Tag.Get("doc"), def: f.Tag.Get("default"), example: f.Tag.Get("example"),
			min: f.Tag.Get("min"), max: f.Tag.Get("max"), index: i, typ: f.Type,
			single: f.Tag.Get("single") == "true",
		}
		if r := f.Tag.Get("required"); r == "true" {
			out.required = true
		} else {
			out.instead = r
		}
		if e := f.Tag.Get("enum"); e != "" {
			out.enum = strings.Split(e, "|")
		}
		s = append(s, out)
	}
	return s
}

func (s section) find(name string) *field {
	for i := range s {
		if s[i].name == name {
			return &s[i]
		}
	}
	return nil
}

func (s section) names() []string {
	out := make([]string, len(s))
	for i := range s {
		out[i] = s[i].name
	}
	return out
}

var scalarType = reflect.TypeFor[scalar]()

func isScalar(t reflect.Type) bool { return reflect.PointerTo(t).Implements(scalarType) }

// isSection reports whether values of t are written as keys of their own.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && !isScalar(t) }

// isList reports whether values of t are lists, and of what.
func isList(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() == reflect.Slice && !isScalar(t) {
		return t.Elem(), true
	}
	return nil, false
}

// kindOf names a type for the reference.
func kindOf(t reflect.Type) string {
	if elem, ok := isList(t); ok {
		return "list of " + kindOf(elem)
	}
	if isSection(t) {
		return "section"
	}
	if isScalar(t) {
		return reflect.New(t).Interface().(scalar).kind()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "number"
	default:
		return "text"
	}
}

// walkKeys calls visit for every key of the format with its path; elements of
// lists of sections have "[]" in theirs.
func walkKeys(t reflect.Type, prefix string, visit func(path string, f *field)) {
	s := sectionOf(t)
	for i := range s {
		f := &s[i]
		path := prefix + f.name
		visit(path, f)
		if isSection(f.typ) {
			walkKeys(f.typ, path+".", visit)
		} else if elem, ok := isList(f.typ); ok && isSection(elem) {
			walkKeys(elem, path+"[].", visit)
		}
	}
}
