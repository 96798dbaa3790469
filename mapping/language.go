package mapping

import (
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

// xml:lang and Content-Language stand for each other (RFC 7572 §4, §5). A message may have a body in each of
// several languages; in SIP these are the parts of a multipart/alternative, or only the best one is sent.

// validLang returns the tag if it has the shape of a language tag (RFC 5646 §2.1), else "". It is written into
// headers, so anything else is dropped rather than repaired.
func validLang(tag string) string {
	if len(tag) > 35 {
		return ""
	}
	for i := 0; i < len(tag); i++ {
		if c := tag[i]; !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-') {
			return ""
		}
	}
	return strings.Trim(tag, "-")
}

// firstLang is the language of a Content-Language value; of several the first counts.
func firstLang(value string) string {
	tag, _, _ := strings.Cut(value, ",")
	return validLang(strings.TrimSpace(tag))
}

// textIn chooses among texts as xmpp.Message.Body does and tells in which language the chosen one is: its own,
// else that of the stanza. best is -1 when there is none.
func textIn(texts []xmpp.LangText, lang string) (best int) {
	best = -1
	for i := range texts {
		switch {
		case texts[i].Lang == lang:
			return i
		case texts[i].Lang == "" && (best < 0 || texts[best].Lang != ""):
			best = i
		case best < 0:
			best = i
		}
	}
	return best
}

// langOf is the language of a text of a stanza.
func langOf(t xmpp.LangText, stanza string) string {
	if t.Lang != "" {
		return validLang(t.Lang)
	}
	return validLang(stanza)
}
