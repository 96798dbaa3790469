package mapping

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"

	"github.com/stoxgate/stoxgate/xmpp"
)

// text/html of SIP and XHTML-IM of XMPP (XEP-0071 §7) are brought into one tree, an XHTML <body/> with nothing
// in it but the elements, attributes, styles and URI schemes of the lists below. Both directions and the plain
// text are written from that tree, so nothing that is not on a list can get across. HTML is read as a stream
// of tokens, without the tree builder of a browser: depth and work are bounded whatever comes.

const (
	maxHTMLDepth = 24       // open elements; deeper ones are read through
	maxHTMLSize  = 64 << 10 // bytes of a document that are looked at
	maxStyle     = 256      // bytes of a style attribute
)

// htmlElements maps what people write to the profile of XEP-0071 §7.8.
var htmlElements = map[string]struct{ name, style string }{
	"a": {"a", ""}, "blockquote": {"blockquote", ""}, "br": {"br", ""}, "cite": {"cite", ""}, "em": {"em", ""},
	"i": {"em", ""}, "dfn": {"em", ""}, "var": {"em", ""}, "strong": {"strong", ""}, "b": {"strong", ""},
	"span": {"span", ""}, "font": {"span", ""}, "u": {"span", "text-decoration: underline"}, "ins": {"span", "text-decoration: underline"},
	"s": {"span", "text-decoration: line-through"}, "strike": {"span", "text-decoration: line-through"}, "del": {"span", "text-decoration: line-through"},
	"code": {"span", "font-family: monospace"}, "tt": {"span", "font-family: monospace"}, "kbd": {"span", "font-family: monospace"}, "samp": {"span", "font-family: monospace"},
	"p": {"p", ""}, "div": {"p", ""}, "section": {"p", ""}, "article": {"p", ""}, "address": {"p", ""}, "tr": {"p", ""}, "pre": {"p", "font-family: monospace"},
	"h1": {"p", "font-weight: bold"}, "h2": {"p", "font-weight: bold"}, "h3": {"p", "font-weight: bold"},
	"h4": {"p", "font-weight: bold"}, "h5": {"p", "font-weight: bold"}, "h6": {"p", "font-weight: bold"},
	"ul": {"ul", ""}, "ol": {"ol", ""}, "li": {"li", ""}, "dt": {"p", "font-weight: bold"}, "dd": {"p", ""},
}

// htmlHidden holds elements whose content is not text for people.
var htmlHidden = map[string]bool{
	"script": true, "style": true, "head": true, "title": true, "template": true, "iframe": true, "object": true,
	"noscript": true, "noframes": true, "noembed": true, "svg": true, "math": true, "textarea": true, "select": true, "audio": true,
	"video": true, "canvas": true, "xmp": true, "plaintext": true,
}

// styleProperties are those of XEP-0071 §7.5.2.
var styleProperties = map[string]bool{
	"background-color": true, "color": true, "font-family": true, "font-size": true, "font-style": true, "font-weight": true,
	"margin-left": true, "margin-right": true, "text-align": true, "text-decoration": true,
}

// linkSchemes may stand in a href.
var linkSchemes = []string{"https:", "http:", "mailto:", "xmpp:", "sip:", "sips:", "tel:"}

func isBlock(name string) bool {
	switch name {
	case "p", "blockquote", "ul", "ol", "li":
		return true
	}
	return false
}

// HTMLToXHTML reads a text/html body and returns the XHTML-IM <body/> and its plain text. marked tells whether
// the body says anything that the text does not: without markup XHTML-IM is not worth sending.
func HTMLToXHTML(src []byte) (body *xmpp.Element, text string, marked bool) {
	if len(src) > maxHTMLSize {
		src = src[:maxHTMLSize]
	}
	b := newTreeBuilder()
	z := html.NewTokenizer(bytes.NewReader(src))
	z.SetMaxBuf(maxHTMLSize)
	hidden := ""
	depth := 0 // of elements named hidden
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		switch kind {
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag := string(name)
			if hidden != "" {
				if tag == hidden && kind == html.StartTagToken {
					depth++
				}
				continue
			}
			if htmlHidden[tag] {
				// "/>" ends only foreign elements; "<script/>" is a start tag to a browser.
				if kind == html.StartTagToken || tag != "svg" && tag != "math" {
					hidden, depth = tag, 1
				}
				continue
			}
			var attrs []html.Attribute
			for more {
				var k, v []byte
				k, v, more = z.TagAttr()
				if len(attrs) < 16 {
					attrs = append(attrs, html.Attribute{Key: string(k), Val: string(v)})
				}
			}
			b.open(tag, attrs)
			if kind == html.SelfClosingTagToken && tag != "br" {
				b.close(tag)
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			tag := string(name)
			if hidden != "" {
				if tag == hidden {
					if depth--; depth == 0 {
						hidden = ""
					}
				}
				continue
			}
			b.close(tag)
		case html.TextToken:
			if hidden == "" {
				b.text(string(z.Text()))
			}
		}
	}
	return b.finish()
}

// XHTMLToHTML sanitises an XHTML-IM <body/> and returns it as a text/html document with its plain text. marked
// is as in HTMLToXHTML.
func XHTMLToHTML(body *xmpp.Element) (doc []byte, text string, marked bool) {
	b := newTreeBuilder()
	b.element(body, 0)
	clean, text, marked := b.finish()
	doc = append(doc, "<!DOCTYPE html><html><body>"...)
	for i := range clean.Children {
		doc = appendHTML(doc, clean.Children[i])
	}
	return append(doc, "</body></html>"...), text, marked
}

func appendHTML(dst []byte, n xmpp.Node) []byte {
	if n.Elem == nil {
		return append(dst, html.EscapeString(n.Text)...)
	}
	dst = append(dst, '<')
	dst = append(dst, n.Elem.Name.Local...)
	for _, a := range n.Elem.Attr {
		dst = append(dst, ' ')
		dst = append(dst, a.Name.Local...)
		dst = append(dst, '=', '"')
		dst = append(dst, html.EscapeString(a.Value)...)
		dst = append(dst, '"')
	}
	dst = append(dst, '>')
	if n.Elem.Name.Local == "br" {
		return dst
	}
	for i := range n.Elem.Children {
		dst = appendHTML(dst, n.Elem.Children[i])
	}
	dst = append(dst, '<', '/')
	dst = append(dst, n.Elem.Name.Local...)
	return append(dst, '>')
}

// treeBuilder collects the clean tree.
type treeBuilder struct {
	stack  []openElement // stack[0] is the body
	marked bool
	pre    int // open <pre> elements
}

type openElement struct {
	tag  string // as written, to find the end tag
	elem *xmpp.Element
}

func newTreeBuilder() *treeBuilder {
	return &treeBuilder{stack: []openElement{{tag: "body", elem: xmpp.NewElement(xmpp.NSXHTML, "body")}}}
}

func (b *treeBuilder) top() *openElement { return &b.stack[len(b.stack)-1] }

func attribute(attrs []html.Attribute, key string) string {
	for _, a := range attrs {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func (b *treeBuilder) open(tag string, attrs []html.Attribute) {
	switch tag {
	case "img":
		b.image(attrs)
		return
	case "hr":
		b.open("p", nil)
		b.text("———")
		b.close("p")
		return
	case "td", "th":
		b.text(" ")
		return
	}
	to, ok := htmlElements[tag]
	if !ok {
		return
	}
	if to.name == "br" {
		b.top().elem.Add(xmpp.NewElement(xmpp.NSXHTML, "br"))
		return
	}
	if to.name == "li" {
		b.closeBlocks("li")
	} else if isBlock(to.name) {
		b.closeBlocks("p") // a paragraph holds no blocks
	}
	if len(b.stack) > maxHTMLDepth {
		return
	}
	e := xmpp.NewElement(xmpp.NSXHTML, to.name)
	if to.name == "a" {
		href := safeURI(attribute(attrs, "href"))
		if href == "" {
			return
		}
		e.Set("href", href)
		b.marked = true
	}
	style := attribute(attrs, "style")
	if color := attribute(attrs, "color"); tag == "font" && color != "" {
		style += "; color: " + color
	}
	if style = cleanStyle(to.style + ";" + style); style != "" {
		e.Set("style", style)
		b.marked = true
	}
	switch to.name {
	case "em", "strong", "cite", "blockquote", "ul", "ol", "li":
		b.marked = true
	}
	if tag == "pre" {
		b.pre++
	}
	b.top().elem.Add(e)
	b.stack = append(b.stack, openElement{tag, e})
}

// image writes a picture as a link. A picture that loads by itself would tell its owner who reads when.
func (b *treeBuilder) image(attrs []html.Attribute) {
	src, alt := safeURI(attribute(attrs, "src")), cleanLine(attribute(attrs, "alt"), 256)
	if src == "" {
		b.text(alt)
		return
	}
	if alt == "" {
		alt = src
	}
	b.open("a", []html.Attribute{{Key: "href", Val: src}})
	b.text(alt)
	b.close("a")
}

// closeBlocks closes the innermost open element of that name, with all in it, unless a list or quote holds
// the current place together.
func (b *treeBuilder) closeBlocks(name string) {
	for i := len(b.stack) - 1; i > 0; i-- {
		switch n := b.stack[i].elem.Name.Local; {
		case n == name:
			b.closeTo(i)
			return
		case n == "ul" || n == "ol" || n == "blockquote" || n == "li":
			return
		}
	}
}

func (b *treeBuilder) close(tag string) {
	if tag == "br" { // "</br>" is a line break to browsers
		b.open("br", nil)
		return
	}
	for i := len(b.stack) - 1; i > 0; i-- {
		if b.stack[i].tag == tag {
			b.closeTo(i)
			return
		}
	}
}

func (b *treeBuilder) closeTo(i int) {
	for len(b.stack) > i {
		o := *b.top()
		if o.tag == "pre" {
			b.pre--
		}
		b.stack = b.stack[:len(b.stack)-1]
		if len(o.elem.Children) == 0 { // nothing in it: drop it again
			parent := b.top().elem
			if n := len(parent.Children); n > 0 && parent.Children[n-1].Elem == o.elem {
				parent.Children = parent.Children[:n-1]
			}
		}
	}
}

func (b *treeBuilder) text(s string) {
	s, _ = cleanText(s)
	if b.pre > 0 {
		for line, rest := "", s; rest != ""; {
			var more bool
			line, rest, more = strings.Cut(rest, "\n")
			b.top().elem.AddText(line)
			if more {
				b.open("br", nil)
			}
		}
		return
	}
	s = collapse(s)
	if s == "" {
		return
	}
	e := b.top().elem
	n := len(e.Children)
	if n > 0 && strings.HasSuffix(e.Children[n-1].Text, " ") && e.Children[n-1].Elem == nil {
		if s = strings.TrimLeft(s, " "); s == "" {
			return
		}
	}
	if s == " " {
		// Space between blocks is layout of the source.
		if n == 0 || e.Children[n-1].Elem != nil && (isBlock(e.Children[n-1].Elem.Name.Local) || e.Children[n-1].Elem.Name.Local == "br") {
			return
		}
		if e.Name.Local == "ul" || e.Name.Local == "ol" {
			return
		}
	}
	e.AddText(s)
}

// collapse turns each run of white space into one space (CSS white-space: normal). U+00A0 is no white space.
func collapse(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '\n' || c == '\t' || c == '\f' || c == ' ' && i > 0 && s[i-1] == ' ' {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\n' || c == '\t' || c == '\f' {
			c = ' '
		}
		if c == ' ' && len(b) > 0 && b[len(b)-1] == ' ' {
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

// element reads an XHTML tree that came as XML.
func (b *treeBuilder) element(e *xmpp.Element, depth int) {
	if e == nil || depth > 2*maxHTMLDepth {
		return
	}
	for i := range e.Children {
		n := &e.Children[i]
		if n.Elem == nil {
			b.text(n.Text)
			continue
		}
		if n.Elem.Name.Space != xmpp.NSXHTML || htmlHidden[n.Elem.Name.Local] {
			continue
		}
		attrs := make([]html.Attribute, 0, len(n.Elem.Attr))
		for _, a := range n.Elem.Attr {
			if a.Name.Space == "" {
				attrs = append(attrs, html.Attribute{Key: a.Name.Local, Val: a.Value})
			}
		}
		tag := n.Elem.Name.Local
		b.open(tag, attrs)
		b.element(n.Elem, depth+1)
		if tag != "br" {
			b.close(tag)
		}
	}
}

func (b *treeBuilder) finish() (*xmpp.Element, string, bool) {
	b.closeTo(1)
	body := b.stack[0].elem
	return body, plainText(body), b.marked
}

// safeURI returns the URI if its scheme is on the list. Characters that browsers skip inside a scheme
// ("java\tscript:") are removed first, and a relative reference has no meaning in a message.
func safeURI(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || 0x7f <= r && r <= 0xa0 || r == 0xFEFF || 0x200B <= r && r <= 0x200F || 0x2028 <= r && r <= 0x202F {
			return -1
		}
		return r
	}, s)
	if len(s) > 2048 {
		return ""
	}
	for _, scheme := range linkSchemes {
		if len(s) > len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			return scheme + s[len(scheme):]
		}
	}
	return ""
}

// cleanStyle keeps the declarations of XEP-0071 §7.5.2 whose values are plain words, numbers and colours: no
// functions, no strings, no escapes.
func cleanStyle(s string) string {
	if s == ";" {
		return ""
	}
	if len(s) > 4*maxStyle {
		s = s[:4*maxStyle]
	}
	var b strings.Builder
	var seen []string
	for decl := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(decl, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || !styleProperties[name] || value == "" || !plainStyle(value) {
			continue
		}
		decl = name + ": " + value
		if b.Len()+len(decl)+2 > maxStyle || slices.Contains(seen, name) {
			continue
		}
		seen = append(seen, name)
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(decl)
	}
	return b.String()
}

func plainStyle(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("#%.,- ", c) >= 0) {
			return false
		}
	}
	return true
}

// plainText writes a clean tree as readable text: blocks on lines of their own, "> " before quotes, "- " or "1. "
// before list items, and the address behind a link that does not show it.
func plainText(body *xmpp.Element) string {
	var w plainWriter
	w.children(body)
	return strings.TrimRight(w.b.String(), " \n")
}

type plainWriter struct {
	b       strings.Builder
	quotes  int
	lists   []int // per open list: 0 for bullets, else the next number
	started bool  // something stands on the current line
	pending int   // line ends to be written before the next text
	space   bool  // the last character was a space that others are merged with
	pre     bool  // spaces count
	bullet  bool  // the line has nothing but a bullet yet
}

func (w *plainWriter) children(e *xmpp.Element) {
	for i := range e.Children {
		if c := e.Children[i].Elem; c != nil {
			w.element(c)
		} else {
			w.text(e.Children[i].Text)
		}
	}
}

func (w *plainWriter) element(e *xmpp.Element) {
	switch e.Name.Local {
	case "br":
		if w.started || w.b.Len() > 0 {
			w.pending++
		}
		w.started, w.space = false, false
		return
	case "a":
		start := w.b.Len()
		w.children(e)
		w.link(e.Attribute("href"), start)
		return
	case "p":
		pre := w.pre
		w.pre = pre || strings.Contains(e.Attribute("style"), "monospace")
		w.block(e)
		w.pre = pre
	case "blockquote":
		w.newBlock()
		w.quotes++
		w.block(e)
		w.quotes--
	case "ul":
		w.list(e, 0)
	case "ol":
		w.list(e, 1)
	case "li":
		w.newBlock()
		w.write(w.nextBullet())
		w.space, w.bullet = true, true
		w.block(e)
	default:
		w.children(e)
	}
}

// block writes the children with line ends around them. The bullet of a list item stays on its line.
func (w *plainWriter) block(e *xmpp.Element) {
	if !w.bullet {
		w.newBlock()
	}
	w.children(e)
	w.newBlock()
}

// newBlock makes sure that the next text starts a line.
func (w *plainWriter) newBlock() {
	if w.started {
		w.pending = max(w.pending, 1)
	}
	w.started, w.space, w.bullet = false, false, false
}

func (w *plainWriter) list(e *xmpp.Element, first int) {
	w.newBlock()
	w.lists = append(w.lists, first)
	w.block(e)
	w.lists = w.lists[:len(w.lists)-1]
}

func (w *plainWriter) nextBullet() string {
	n := len(w.lists) - 1
	if n < 0 {
		return "- "
	}
	bullet := "- "
	if w.lists[n] > 0 {
		bullet = strconv.Itoa(w.lists[n]) + ". "
		w.lists[n]++
	}
	return strings.Repeat("  ", n) + bullet
}

func (w *plainWriter) text(s string) {
	if !w.pre && (!w.started || w.space) {
		s = strings.TrimLeft(s, " ")
	}
	if s == "" {
		return
	}
	w.write(s)
	w.space = s[len(s)-1] == ' '
}

func (w *plainWriter) write(s string) {
	if !w.started {
		for range w.pending {
			w.b.WriteByte('\n')
		}
		w.pending = 0
		for range w.quotes {
			w.b.WriteString("> ")
		}
	}
	w.started, w.bullet = true, false
	w.b.WriteString(s)
}

// link tells the address of a link whose text, which begins at start, does not show it.
func (w *plainWriter) link(href string, start int) {
	switch strings.TrimSpace(w.b.String()[start:]) {
	case "":
		w.text(href)
	case href, strings.TrimPrefix(href, "mailto:"), strings.TrimPrefix(href, "tel:"):
	default:
		w.text(" (" + href + ")")
	}
}
