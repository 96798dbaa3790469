package mapping

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stoxgate/stoxgate/xmpp"
)

func xhtml(e *xmpp.Element) string {
	s := string(e.Append(nil, xmpp.NSXHTML))
	return strings.TrimSuffix(strings.TrimPrefix(s, "<body>"), "</body>")
}

func TestHTMLToXHTML(t *testing.T) {
	tests := []struct {
		in, markup, text string
		marked           bool
	}{
		{"hello", "hello", "hello", false},
		{"", "<body/>", "", false},
		{" a \n  b ", " a b ", "a b", false},
		{"a&lt;b&gt; &amp;amp; &nbsp;&eacute;", "a&lt;b&gt; &amp;amp; \u00a0é", "a<b> &amp; \u00a0é", false},
		{"<p>a<p>b</p>c", "<p>a</p><p>b</p>c", "a\nb\nc", false},
		{"a <p>b</p> c <p>d</p>", "a <p>b</p> c <p>d</p>", "a \nb\nc \nd", false},
		{"<ul><li><p>a</p><p>b</p></li></ul>", "<ul><li><p>a</p><p>b</p></li></ul>", "- a\nb", true},
		{"<div><div>a</div></div>b", "<p>a</p>b", "a\nb", false},
		{"a<br>b<br/>c</br>d", "a<br/>b<br/>c<br/>d", "a\nb\nc\nd", false},
		{"<p>a</p>\n\n<p>b</p>", "<p>a</p><p>b</p>", "a\nb", false},
		{
			"<b>a</b> <i>b</i> <u>c</u> <s>d</s> <code>e</code>",
			"<strong>a</strong> <em>b</em> <span style='text-decoration: underline'>c</span> <span style='text-decoration: line-through'>d</span> <span style='font-family: monospace'>e</span>",
			"a b c d e", true,
		},
		{"<b>a<i>b</b>c</i>d", "<strong>a<em>b</em></strong>cd", "abcd", true},
		{
			"<ul><li>a<li>b<ol><li>c</li><li>d</ol></ul>e", "<ul><li>a</li><li>b<ol><li>c</li><li>d</li></ol></li></ul>e",
			"- a\n- b\n  1. c\n  2. d\ne", true,
		},
		{"<blockquote>a<br>b<p>c</p></blockquote>d", "<blockquote>a<br/>b<p>c</p></blockquote>d", "> a\n> b\n> c\nd", true},
		{"<pre>a  b\n c</pre>", "<p style='font-family: monospace'>a  b<br/> c</p>", "a  b\n c", true},
		{"<h2>T</h2>x", "<p style='font-weight: bold'>T</p>x", "T\nx", true},
		{"a<hr>b", "a<p>———</p>b", "a\n———\nb", false},
		{"<table><tr><td>a</td><td>b</td></tr></table>", "<p>a b</p>", "a b", false},
		{"<a href='https://x.example/'>y</a>", "<a href='https://x.example/'>y</a>", "y (https://x.example/)", true},
		{"<a href='https://x.example/'>https://x.example/</a>", "<a href='https://x.example/'>https://x.example/</a>", "https://x.example/", true},
		{"<a href='mailto:a@b.example'>a@b.example</a>", "<a href='mailto:a@b.example'>a@b.example</a>", "a@b.example", true},
		{"<a href='HTTPS://x'>y</a>", "<a href='https://x'>y</a>", "y (https://x)", true},
		{"<img src='https://x.example/1.png' alt='pier'>", "<a href='https://x.example/1.png'>pier</a>", "pier (https://x.example/1.png)", true},
		{"<img src='https://x.example/1.png'>", "<a href='https://x.example/1.png'>https://x.example/1.png</a>", "https://x.example/1.png", true},
		{"<img src='data:image/png;base64,AA' alt='x'>", "x", "x", false},
		{"<font color='#f00'>a</font>", "<span style='color: #f00'>a</span>", "a", true},
		{"<b></b><p></p>a", "a", "a", true},
	}
	for _, tt := range tests {
		body, text, marked := HTMLToXHTML([]byte(tt.in))
		if xhtml(body) != tt.markup || text != tt.text || marked != tt.marked {
			t.Errorf("%s\n got %s | %q | %v\nwant %s | %q | %v", tt.in, xhtml(body), text, marked, tt.markup, tt.text, tt.marked)
		}
	}
}

// hostile documents, after the collections of XSS tests.
var hostileHTML = []string{
	"<script>HIDDEN</script>x", "<script/>HIDDEN</script>x", "<SCRIPT SRC=//x></SCRIPT>x", "<scr<script>ipt>alert(1)</script>",
	"<img src=x onerror=alert(1)>", "<a href=javascript:alert(1)>x</a>", "<a href='java\tscript:alert(1)'>x</a>", "<a href='&#106;avascript:alert(1)'>x</a>",
	"<a href=' \x01javascript:alert(1)'>x</a>", "<a href='vbscript:x'>x</a>", "<a href='data:text/html,x'>x</a>", "<a href='//evil'>x</a>", "<a href='/x'>x</a>",
	"<p style='background:url(javascript:x)'>x</p>", "<p style='color:expression(alert(1))'>x</p>", "<p style='color:red;position:fixed;top:0'>x</p>",
	`<p style='color:r\65 d'>x</p>`, "<p style='color:red/**/'>x</p>", "<p onclick=x() id=y class=z>x</p>",
	"<svg><script>HIDDEN</script></svg>x", "<svg/onload=alert(1)>x", "<math><mi xlink:href='javascript:x'>x</mi></math>y", "<iframe src=javascript:x></iframe>y",
	"<style>HIDDEN</style>x", "<title>HIDDEN</title><textarea><b>HIDDEN</b></textarea>y", "<!--<script>HIDDEN</script>-->x", "<![CDATA[<b>x</b>]]>y", "]]>", "<!DOCTYPE x [<!ENTITY a 'b'>]>&a;",
	"<object data=x></object><embed src=x><applet></applet>y", "<base href='javascript:/'>x", "<meta http-equiv=refresh content='0;url=x'>x", "<form action=x><input value=y>z</form>",
	"<template><b>HIDDEN</b></template>y", "<plaintext><b>x", "<a href='https://x\"onmouseover=\"alert(1)'>y</a>", "<b>\x00\x0b\x1f</b>", "<b", "<", "</", "&#0;&#x1f;&#xffff;&#xd800;",
	strings.Repeat("<b>", 10_000) + "x", strings.Repeat("<div>", 10_000) + "x" + strings.Repeat("</div>", 10_000), strings.Repeat("<ul><li>", 5000) + "x",
	strings.Repeat("<blockquote>", 5000) + "x", strings.Repeat("<a href='https://x'>", 3000) + "x", strings.Repeat("</b>", 10_000), strings.Repeat("<table><tr><td>", 3000),
	strings.Repeat("&lt;", 20_000), "<p style='" + strings.Repeat("color:red;", 5000) + "'>x</p>", "<a href='https://" + strings.Repeat("x", 5000) + "'>y</a>",
}

// checkXHTML fails on anything that is not in the profile of XEP-0071.
func checkXHTML(t interface{ Fatalf(string, ...any) }, e *xmpp.Element, depth int) {
	if depth > maxHTMLDepth+1 {
		t.Fatalf("depth %d", depth)
	}
	for _, n := range e.Children {
		c := n.Elem
		if c == nil {
			if text, changed := cleanText(n.Text); changed || text != n.Text {
				t.Fatalf("text %q", n.Text)
			}
			continue
		}
		if c.Name.Space != xmpp.NSXHTML {
			t.Fatalf("namespace %q", c.Name.Space)
		}
		switch c.Name.Local {
		case "a", "blockquote", "br", "cite", "em", "li", "ol", "p", "span", "strong", "ul":
		default:
			t.Fatalf("element %s", c.Name.Local)
		}
		for _, a := range c.Attr {
			switch {
			case a.Name.Space != "":
				t.Fatalf("attribute in %q", a.Name.Space)
			case a.Name.Local == "href":
				if safeURI(a.Value) != a.Value || strings.ContainsAny(a.Value, " \t\r\n") {
					t.Fatalf("href %q", a.Value)
				}
			case a.Name.Local == "style":
				if strings.ContainsAny(a.Value, "()\\/'\"<>&") || cleanStyle(a.Value) != a.Value {
					t.Fatalf("style %q", a.Value)
				}
			default:
				t.Fatalf("attribute %s", a.Name.Local)
			}
		}
		checkXHTML(t, c, depth+1)
	}
}

func TestHostileHTML(t *testing.T) {
	for _, in := range hostileHTML {
		start := time.Now()
		body, text, _ := HTMLToXHTML([]byte(in))
		checkXHTML(t, body, 0)
		for _, bad := range []string{"HIDDEN", "javascript:", "vbscript:", "expression", "fixed"} {
			if strings.Contains(text, bad) || strings.Contains(xhtml(body), bad) {
				t.Errorf("%.80q: %q in %q", in, bad, text)
			}
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%.40q took %v", in, d)
		}
		doc, again, _ := XHTMLToHTML(body)
		if again != text && !strings.Contains(in, "<pre") {
			t.Errorf("%.80q: the text became %.200q from %.200q", in, again, text)
		}
		if strings.Contains(string(doc), "<script") {
			t.Errorf("%.80q: %s", in, doc)
		}
	}
}

func TestXHTMLToHTML(t *testing.T) {
	parse := func(s string) *xmpp.Element {
		e, err := xmpp.ParseElement([]byte("<body xmlns='http://www.w3.org/1999/xhtml'>" + s + "</body>"))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for in, want := range map[string]string{
		"<p>a &lt; b</p>":                                "<p>a &lt; b</p>",
		"<p>a<br/>b</p>":                                 "<p>a<br>b</p>",
		"<p><p>a</p>b</p>":                               "<p>a</p>b",
		"<x xmlns='urn:x'>a</x>b":                        "b",
		"<script>x</script>y":                            "y",
		"<a href='javascript:x'>y</a>":                   "y",
		"<a href='https://x/?a=1&amp;b=\"2'>y</a>":       `<a href="https://x/?a=1&amp;b=&#34;2">y</a>`,
		"<blink>a</blink>":                               "a",
		"<em y:style='color:red' xmlns:y='urn:y'>a</em>": "<em>a</em>",
		strings.Repeat("<span>", 60) + "a" + strings.Repeat("</span>", 60): "",
	} {
		doc, _, _ := XHTMLToHTML(parse(in))
		got := strings.TrimSuffix(strings.TrimPrefix(string(doc), "<!DOCTYPE html><html><body>"), "</body></html>")
		if want != "" && got != want {
			t.Errorf("%s -> %s, want %s", in, got, want)
		}
	}
	if doc, text, marked := XHTMLToHTML(nil); text != "" || marked || len(doc) == 0 {
		t.Error("nil body")
	}
	// A tree that no parser made.
	deep := xmpp.NewElement(xmpp.NSXHTML, "body")
	for e, i := deep, 0; i < 100_000; i++ {
		child := xmpp.NewElement(xmpp.NSXHTML, "em")
		e.Add(child)
		e = child
	}
	XHTMLToHTML(deep)
}

// What comes out of one direction passes the other unchanged.
func TestHTMLIdempotent(t *testing.T) {
	tag := rapid.SampledFrom([]string{
		"<b>", "</b>", "<p>", "</p>", "<i>", "</i>", "<br>", "<ul>", "</ul>", "<li>", "</li>", "<blockquote>", "</blockquote>",
		"<a href='https://x.example/'>", "</a>", "<span style='color: red'>", "</span>", "a", " b ", "c\n", "&lt;", "<div>", "</div>", "<hr>", "<h1>", "</h1>",
	})
	rapid.Check(t, func(t *rapid.T) {
		in := strings.Join(rapid.SliceOfN(tag, 0, 20).Draw(t, "html"), "")
		body, text, _ := HTMLToXHTML([]byte(in))
		checkXHTML(t, body, 0)
		doc, text2, _ := XHTMLToHTML(body)
		if text2 != text {
			t.Fatalf("text %q, then %q", text, text2)
		}
		_, text3, _ := HTMLToXHTML(doc)
		if text3 != text {
			t.Fatalf("%s: text %q, then %q", doc, text, text3)
		}
	})
}

func FuzzHTML(f *testing.F) {
	for _, s := range hostileHTML {
		if len(s) < 200 {
			f.Add([]byte(s))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		body, _, _ := HTMLToXHTML(data)
		checkXHTML(t, body, 0)
		if _, err := xmpp.ParseElement([]byte(body.String())); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
	})
}
