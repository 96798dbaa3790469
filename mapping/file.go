package mapping

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip/fthttp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// A shared file is a URL with a description: <file-sharing/> (XEP-0447, XEP-0446), <media-sharing/> (XEP-0385) or
// a bare jabber:x:oob (XEP-0066) in XMPP, the file transfer document of RCS in SIP. A peer that does not know
// that document gets "name (size) URL" as text. The gateway fetches nothing.

// fileLifetime is how long a URL is said to work when XMPP does not tell: HTTP upload services keep files for
// weeks, and RCS wants a date.
const fileLifetime = 14 * 24 * time.Hour

// file is what both sides know about a shared file.
type file struct {
	url, name, mediaType, desc string
	hash                       string // sha-256 in hex
	size                       int64  // 0: unknown
	length                     time.Duration
	inline, attachment         bool
	until                      time.Time
	thumbURL, thumbType        string
	declared                   bool // somebody said that it is a file, not only a link
}

// mediaTypes by suffix. The table of package mime depends on the machine that it runs on.
var mediaTypes = map[string]string{
	".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".gif": "image/gif", ".webp": "image/webp", ".heic": "image/heic",
	".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime", ".3gp": "video/3gpp", ".mkv": "video/x-matroska",
	".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".ogg": "audio/ogg", ".oga": "audio/ogg", ".opus": "audio/ogg", ".wav": "audio/wav", ".flac": "audio/flac", ".amr": "audio/amr",
	".pdf": "application/pdf", ".zip": "application/zip", ".txt": "text/plain", ".vcf": "text/vcard", ".ics": "text/calendar",
}

// describe fills in what the URL tells: the name from its last segment, the media type from the suffix.
func (f *file) describe() {
	if f.name == "" {
		f.name = nameOf(f.url)
	}
	if f.mediaType == "" {
		f.mediaType = mediaTypes[strings.ToLower(path.Ext(f.name))]
	}
}

func nameOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Path == "" || strings.HasSuffix(u.Path, "/") {
		return ""
	}
	return cleanName(path.Base(u.Path))
}

// cleanName makes a file name one harmless line; it is shown, and clients save files under it (XEP-0446 §3).
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch r {
		case '/', '\\', 0x202A, 0x202B, 0x202C, 0x202D, 0x202E, 0x2066, 0x2067, 0x2068, 0x2069: // "gpj.exe" turned round
			return '_'
		}
		return r
	}, s)
	s = cleanLine(s, 200)
	if s == "." || s == ".." {
		return ""
	}
	return s
}

// webURL returns an http or https URL in clean form, "" for anything else.
func webURL(s string) string {
	s = safeURI(s)
	if strings.HasPrefix(s, "http") && strings.Contains(s, "://") {
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			return s
		}
	}
	return ""
}

// lostFile is the loss of a file whose every source is out of reach.
const lostFile = "file: no source that SIP can reach"

// sharedFiles collects the files of a stanza in order; one that several elements tell about counts once. What
// cannot cross is told in loss.
func sharedFiles(ext []*xmpp.Element, loss *[]string) (files []file) {
	add := func(f file) {
		for i := range files {
			if files[i].url == f.url {
				return
			}
		}
		if len(files) < 32 {
			files = append(files, f)
		}
	}
	for _, e := range ext {
		switch {
		case e.Is(xmpp.NSFileSharing, "file-sharing"):
			f := readFile(e.Child(xmpp.NSFileMetadata, "file"))
			f.inline, f.attachment = e.Attribute("disposition") == "inline", e.Attribute("disposition") == "attachment"
			f.url = sourceOf(e)
			switch {
			case f.url != "":
				add(f)
			case e.Child(xmpp.NSFileSharing, "sources") == nil:
				lose(loss, "file: no source yet")
			default:
				lose(loss, lostFile)
			}
		case e.Is(xmpp.NSFileSharing, "sources"): // attached later (XEP-0447 §3.3)
			wrapper := xmpp.NewElement(xmpp.NSFileSharing, "file-sharing").Add(e)
			if u := sourceOf(wrapper); u != "" {
				add(file{url: u})
			}
		case e.Is(xmpp.NSReference, "reference"):
			if ms := e.Child(xmpp.NSSIMS, "media-sharing"); ms != nil {
				f := readFile(ms.Child(xmpp.NSJingleFile, "file"))
				for s := range ms.Child(xmpp.NSSIMS, "sources").Elements() {
					if f.url == "" && s.Is(xmpp.NSReference, "reference") {
						f.url = webURL(s.Attribute("uri"))
					}
				}
				if f.url != "" {
					add(f)
				} else {
					lose(loss, lostFile)
				}
			}
		case e.Is(xmpp.NSOOB, "x"):
			if u := webURL(e.Child(xmpp.NSOOB, "url").Text()); u != "" {
				add(file{url: u, desc: cleanLine(e.Child(xmpp.NSOOB, "desc").Text(), 256)})
			}
		}
	}
	return files
}

// sourceOf returns the first URL of a <file-sharing/> that anybody can fetch. Sources of an encrypted file
// (XEP-0448) are no such.
func sourceOf(e *xmpp.Element) string {
	for s := range e.Child(xmpp.NSFileSharing, "sources").Elements() {
		if s.Is(xmpp.NSURLData, "url-data") {
			if u := webURL(s.Attribute("target")); u != "" {
				return u
			}
		}
	}
	return ""
}

// readFile reads the metadata of XEP-0446; XEP-0234 has the same children in its own namespace.
func readFile(e *xmpp.Element) (f file) {
	f.declared = true
	for c := range e.Elements() {
		text := c.Text()
		switch {
		case c.Is(xmpp.NSThumbs, "thumbnail"):
			if u := webURL(c.Attribute("uri")); u != "" && f.thumbURL == "" {
				f.thumbURL, f.thumbType = u, mediaType(c.Attribute("media-type"))
			}
		case c.Is(xmpp.NSHashes, "hash"):
			if b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text)); err == nil && c.Attribute("algo") == "sha-256" && len(b) == 32 {
				f.hash = hex.EncodeToString(b)
			}
		case c.Name.Space != e.Name.Space:
		case c.Name.Local == "media-type":
			f.mediaType = mediaType(text)
		case c.Name.Local == "name":
			f.name = cleanName(text)
		case c.Name.Local == "desc":
			f.desc = cleanLine(text, 256)
		case c.Name.Local == "size":
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil && n > 0 {
				f.size = n
			}
		case c.Name.Local == "length":
			if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32); err == nil && n > 0 {
				f.length = time.Duration(n) * time.Millisecond
			}
		}
	}
	return f
}

// mediaType cuts parameters off and checks the shape type/subtype.
func mediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	s = strings.ToLower(strings.TrimSpace(s))
	slash := strings.IndexByte(s, '/')
	if slash < 1 || slash == len(s)-1 || len(s) > 127 {
		return ""
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("/+-._", c) >= 0) {
			return ""
		}
	}
	return s
}

// line is the readable form: what is known of "name (size) URL".
func (f *file) line() string {
	var b strings.Builder
	if name := f.name; name != "" {
		b.WriteString(name)
		b.WriteByte(' ')
	} else if f.desc != "" {
		b.WriteString(f.desc)
		b.WriteByte(' ')
	}
	if f.size > 0 {
		b.WriteByte('(')
		b.WriteString(humanSize(f.size))
		b.WriteString(") ")
	}
	b.WriteString(f.url)
	return b.String()
}

// humanSize has two digits at least and uses decimal units, as clients and disks do.
func humanSize(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	units := "kMGTPE"
	v := float64(n) / 1000
	i := 0
	for v >= 999.5 && i < len(units)-1 {
		v /= 1000
		i++
	}
	digits := 0
	if v < 9.95 {
		digits = 1
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + units[i:i+1] + "B"
}

// fileDocument is the RCS form of the file, thumbnail first.
func (f file) document(now time.Time) fthttp.Document {
	f.describe()
	until := f.until
	if until.IsZero() {
		until = now.Add(fileLifetime)
	}
	until = until.UTC().Truncate(time.Second)
	var d fthttp.Document
	if f.thumbURL != "" {
		t := fthttp.Info{Thumbnail: true, URL: f.thumbURL, ContentType: f.thumbType, Until: until}
		if t.ContentType == "" {
			t.ContentType = "image/png"
		}
		d.Files = append(d.Files, t)
	}
	i := fthttp.Info{Size: f.size, Name: f.name, ContentType: f.mediaType, URL: f.url, Until: until, Hash: f.hash, PlayingLength: f.length}
	if i.ContentType == "" {
		i.ContentType = "application/octet-stream"
	}
	switch {
	case f.inline:
		i.Disposition = fthttp.Render
	case f.attachment:
		i.Disposition = fthttp.Attachment
	}
	d.Files = append(d.Files, i)
	return d
}

// documentFiles is the other direction. A thumbnail belongs to the file that follows it.
func documentFiles(d fthttp.Document, loss *[]string) (files []file) {
	var thumb fthttp.Info
	for _, i := range d.Files {
		u := webURL(i.URL)
		switch {
		case i.Thumbnail:
			thumb = i
			thumb.URL = u
			continue
		case i.Encrypted:
			lose(loss, "file: end-to-end encrypted")
		case u != "":
			f := file{
				url: u, name: cleanName(i.Name), mediaType: mediaType(i.ContentType), size: i.Size, length: i.PlayingLength, until: i.Until,
				inline: i.Disposition == fthttp.Render, attachment: i.Disposition == fthttp.Attachment,
				thumbURL: thumb.URL, thumbType: mediaType(thumb.ContentType), hash: sha256Of(i.Hash),
			}
			if i.Hash != "" && f.hash == "" {
				lose(loss, "file: hash of an unknown kind")
			}
			f.describe()
			files = append(files, f)
		default:
			lose(loss, "file: URL of a scheme that is not http")
		}
		thumb = fthttp.Info{}
	}
	return files
}

// sha256Of recognises a SHA-256 in hex or base64 and returns it in hex.
func sha256Of(s string) string {
	if b, err := hex.DecodeString(s); err == nil && len(b) == 32 {
		return strings.ToLower(s)
	}
	if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) == 32 {
		return hex.EncodeToString(b)
	}
	return ""
}

// extensions are the elements that tell an XMPP client about the file whose URL is the body: XEP-0447 with its
// fallback mark, and the older XEP-0066 that most clients look for.
func (f *file) extensions() []*xmpp.Element {
	const meta = xmpp.NSFileMetadata
	text := func(name, value string) *xmpp.Element {
		if value == "" {
			return nil
		}
		return xmpp.NewElement(meta, name).AddText(value)
	}
	number := func(name string, n int64) *xmpp.Element {
		if n <= 0 {
			return nil
		}
		return text(name, strconv.FormatInt(n, 10))
	}
	md := xmpp.NewElement(meta, "file").Add(
		text("media-type", f.mediaType), text("name", f.name), number("size", f.size), number("length", f.length.Milliseconds()))
	if b, err := hex.DecodeString(f.hash); err == nil && len(b) == 32 {
		md.Add(xmpp.NewElement(xmpp.NSHashes, "hash").Set("algo", "sha-256").AddText(base64.StdEncoding.EncodeToString(b)))
	}
	if f.thumbURL != "" {
		t := xmpp.NewElement(xmpp.NSThumbs, "thumbnail").Set("uri", f.thumbURL)
		if f.thumbType != "" {
			t.Set("media-type", f.thumbType)
		}
		md.Add(t)
	}
	sharing := xmpp.NewElement(xmpp.NSFileSharing, "file-sharing")
	switch {
	case f.inline:
		sharing.Set("disposition", "inline")
	case f.attachment:
		sharing.Set("disposition", "attachment")
	}
	sharing.Add(md, xmpp.NewElement(xmpp.NSFileSharing, "sources").Add(xmpp.NewElement(xmpp.NSURLData, "url-data").Set("target", f.url)))
	return []*xmpp.Element{
		sharing,
		xmpp.NewElement(xmpp.NSFallback, "fallback").Set("for", xmpp.NSFileSharing).Add(xmpp.NewElement(xmpp.NSFallback, "body")),
		xmpp.NewElement(xmpp.NSOOB, "x").Add(xmpp.NewElement(xmpp.NSOOB, "url").AddText(f.url)),
		xmpp.NewElement(xmpp.NSHints, "store"),
	}
}

// lose notes once what could not be carried across.
func lose(loss *[]string, what string) {
	for _, l := range *loss {
		if l == what {
			return
		}
	}
	*loss = append(*loss, what)
}
