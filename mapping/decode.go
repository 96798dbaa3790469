package mapping

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"

	"golang.org/x/text/encoding/charmap"

	"github.com/stoxgate/stoxgate/sip"
)

// Encodings of bodies, from the outside in: Content-Encoding, Content-Transfer-Encoding, charset.

// maxInflated bounds what a compressed body may become, in bytes: as much as a stanza may have.
const maxInflated = 256 << 10

// charsets besides UTF-8 and ASCII. ISO 8859-1 is what old phones mean; the others cost nothing.
var charsets = map[string]*charmap.Charmap{
	"iso-8859-1": charmap.ISO8859_1, "iso_8859-1": charmap.ISO8859_1, "latin1": charmap.ISO8859_1,
	"iso-8859-15": charmap.ISO8859_15, "windows-1252": charmap.Windows1252,
}

var (
	acceptEncodingHeader = sip.MustHeader("Accept-Encoding", "identity, gzip")
	acceptCharsetHeader  = sip.MustHeader("Accept-Charset", "utf-8, us-ascii, iso-8859-1, iso-8859-15, windows-1252")
)

// mediaTypeOf splits a Content-Type into the media type and the charset, both lower case. A value that cannot be
// read gives the text before the first semicolon.
func mediaTypeOf(value string) (media, charset string) {
	switch value {
	case plainUTF8, "text/plain; charset=UTF-8", "text/plain;charset=utf-8", "text/plain; charset=utf-8":
		return "text/plain", "utf-8"
	case "text/plain":
		return "text/plain", ""
	}
	media, params, err := mime.ParseMediaType(value)
	if err != nil {
		media, _, _ = strings.Cut(value, ";")
		return strings.ToLower(strings.TrimSpace(media)), ""
	}
	return media, strings.ToLower(params["charset"])
}

// decodeContent undoes Content-Encoding (RFC 3261 §20.12).
func decodeContent(body []byte, encoding string) ([]byte, *sip.Status) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
	default:
		return nil, &sip.Status{Code: 415, Reason: "Unsupported Content-Encoding", Headers: []sip.Header{acceptEncodingHeader}}
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, &sip.Status{Code: 400, Reason: "Bad Request - gzip"}
	}
	out, err := io.ReadAll(io.LimitReader(z, maxInflated+1))
	if err != nil {
		return nil, &sip.Status{Code: 400, Reason: "Bad Request - gzip"}
	}
	if len(out) > maxInflated {
		return nil, &sip.Status{Code: 413}
	}
	return out, nil
}

// decodeTransfer undoes Content-Transfer-Encoding, which SIP itself has not but MIME writers put into parts.
func decodeTransfer(body []byte, encoding string) ([]byte, *sip.Status) {
	var out []byte
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		return body, nil
	case "base64":
		out, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(body)))
	case "quoted-printable":
		out, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(body)))
	default:
		err = errors.New("unknown")
	}
	if err != nil {
		return nil, &sip.Status{Code: 400, Reason: "Bad Request - Content-Transfer-Encoding"}
	}
	return out, nil
}

// decodeCharset makes text of bytes, fit for XMPP. Without a charset it is UTF-8 (RFC 3428 §4, RFC 3261 §7.4.1).
func (in *inbound) decodeCharset(body []byte, charset string) (string, *sip.Status) {
	text := string(body)
	switch charset {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
	default:
		cm := charsets[charset]
		if cm == nil {
			return "", &sip.Status{Code: 415, Reason: validReason("Unsupported charset " + cleanLine(charset, 32)), Headers: []sip.Header{acceptCharsetHeader}}
		}
		decoded, err := cm.NewDecoder().Bytes(body)
		if err != nil {
			return "", &sip.Status{Code: 400, Reason: "Bad Request - charset"}
		}
		text = string(decoded)
	}
	text, changed := cleanText(text)
	if changed {
		in.lose("text: characters that XML does not allow")
	}
	return text, nil
}
