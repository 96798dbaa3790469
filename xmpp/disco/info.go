package disco

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	// ErrNotInfo tells that an element is not a disco#info query.
	ErrNotInfo = errors.New("disco: not a disco#info query")
	// ErrIllFormed tells that a disco#info answer breaks XEP-0030 or one of the
	// uniqueness rules of XEP-0115 §5.4, so nothing in it may be believed.
	ErrIllFormed = errors.New("disco: ill-formed disco#info")
)

// Identity is one <identity/> of XEP-0030 §3.1. Category and Type are never
// empty in a valid answer; Lang is the element's xml:lang, or empty.
type Identity struct{ Category, Type, Lang, Name string }

// Form is one service discovery extension of XEP-0128: a data form of type
// result, whose hidden FORM_TYPE field is Type and stands first in the XML.
type Form struct {
	Type   string
	Fields []Field
}

// Field is one field of a Form, never the FORM_TYPE. Type is the XEP-0004 field
// type and may be empty.
type Field struct {
	Var, Type string
	Values    []string
}

// Info is what an entity says of itself in a disco#info answer (XEP-0030 §3).
// It holds no node: the same Info is the answer to the plain query and to the
// query for its caps node.
type Info struct {
	Identities []Identity
	Features   Features
	Forms      []Form
}

// Element returns the <query/> of a disco#info result, without node.
func (i Info) Element() *xmpp.Element {
	q := xmpp.NewElement(xmpp.NSDiscoInfo, "query")
	for _, id := range i.Identities {
		e := xmpp.NewElement(xmpp.NSDiscoInfo, "identity").Set("category", id.Category).Set("type", id.Type)
		if id.Lang != "" {
			e.SetNS(xmpp.NSXML, "lang", id.Lang)
		}
		if id.Name != "" {
			e.Set("name", id.Name)
		}
		q.Add(e)
	}
	for _, f := range i.Features.vars {
		q.Add(xmpp.NewElement(xmpp.NSDiscoInfo, "feature").Set("var", f))
	}
	for _, f := range i.Forms {
		q.Add(f.element())
	}
	return q
}

func (f Form) element() *xmpp.Element {
	x := xmpp.NewElement(xmpp.NSDataForms, "x").Set("type", "result")
	x.Add(Field{Var: "FORM_TYPE", Type: "hidden", Values: []string{f.Type}}.element())
	for _, field := range f.Fields {
		x.Add(field.element())
	}
	return x
}

func (f Field) element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSDataForms, "field").Set("var", f.Var)
	if f.Type != "" {
		e.Set("type", f.Type)
	}
	for _, v := range f.Values {
		e.Add(xmpp.NewElement(xmpp.NSDataForms, "value").AddText(v))
	}
	return e
}

// ParseInfo reads the <query/> of a disco#info result. It applies the rules of
// XEP-0115 §5.4 also to answers that nobody hashes, because what breaks them is
// either broken or forged: repeated identities, features or FORM_TYPEs, a
// FORM_TYPE with differing values, an identity without category or type and a
// feature without var give ErrIllFormed. Forms that do not carry a hidden
// FORM_TYPE are left out, as §5.4 says. Children of other names are ignored. An
// answer without any identity or without the disco#info feature is accepted:
// such entities exist (XEP-0030 §3.1, note).
func ParseInfo(e *xmpp.Element) (Info, error) {
	var info Info
	if !e.Is(xmpp.NSDiscoInfo, "query") {
		return info, ErrNotInfo
	}
	seen := make(map[Identity]bool)
	vars := make(map[string]bool)
	forms := make(map[string]bool)
	for c := range e.Elements() {
		switch {
		case c.Is(xmpp.NSDiscoInfo, "identity"):
			id := Identity{c.Attribute("category"), c.Attribute("type"), c.AttributeNS(xmpp.NSXML, "lang"), c.Attribute("name")}
			if id.Category == "" || id.Type == "" {
				return Info{}, fmt.Errorf("%w: identity without category or type", ErrIllFormed)
			}
			if seen[id] {
				return Info{}, fmt.Errorf("%w: identity %s/%s repeated", ErrIllFormed, id.Category, id.Type)
			}
			seen[id] = true
			info.Identities = append(info.Identities, id)
		case c.Is(xmpp.NSDiscoInfo, "feature"):
			v := c.Attribute("var")
			if v == "" {
				return Info{}, fmt.Errorf("%w: feature without var", ErrIllFormed)
			}
			if vars[v] {
				return Info{}, fmt.Errorf("%w: feature %q repeated", ErrIllFormed, v)
			}
			vars[v] = true
		case c.Is(xmpp.NSDataForms, "x"):
			f, ok, err := parseForm(c)
			if err != nil {
				return Info{}, err
			}
			if !ok {
				continue
			}
			if forms[f.Type] {
				return Info{}, fmt.Errorf("%w: form %q repeated", ErrIllFormed, f.Type)
			}
			forms[f.Type] = true
			info.Forms = append(info.Forms, f)
		}
	}
	info.Features = featuresOf(vars)
	return info, nil
}

// parseForm reads one data form; ok is false when XEP-0115 §5.4 wants it ignored.
func parseForm(x *xmpp.Element) (f Form, ok bool, err error) {
	for c := range x.Elements() {
		if !c.Is(xmpp.NSDataForms, "field") {
			continue
		}
		field := Field{Var: c.Attribute("var"), Type: c.Attribute("type")}
		for v := range c.Elements() {
			if v.Is(xmpp.NSDataForms, "value") {
				field.Values = append(field.Values, v.Text())
			}
		}
		if field.Var != "FORM_TYPE" {
			f.Fields = append(f.Fields, field)
			continue
		}
		for _, v := range field.Values {
			if v != field.Values[0] {
				return Form{}, false, fmt.Errorf("%w: FORM_TYPE with differing values", ErrIllFormed)
			}
		}
		if ok {
			return Form{}, false, fmt.Errorf("%w: FORM_TYPE field repeated", ErrIllFormed)
		}
		if field.Type == "hidden" && len(field.Values) > 0 {
			f.Type, ok = field.Values[0], true
		}
	}
	return f, ok, nil
}

// compare orders identities as XEP-0115 §5.1 hashes them; the name comes last
// only to make the order total.
func (a Identity) compare(b Identity) int {
	for _, c := range [...]int{
		strings.Compare(a.Category, b.Category), strings.Compare(a.Type, b.Type),
		strings.Compare(a.Lang, b.Lang), strings.Compare(a.Name, b.Name),
	} {
		if c != 0 {
			return c
		}
	}
	return 0
}

// HasIdentity reports whether one of the identities is category/type, in
// whatever language.
func (i Info) HasIdentity(category, typ string) bool {
	return slices.ContainsFunc(i.Identities, func(id Identity) bool {
		return id.Category == category && id.Type == typ
	})
}
