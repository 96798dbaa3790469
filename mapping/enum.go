package mapping

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// ErrENUM is wrapped by the errors about ENUM names and records (RFC 6116).
var ErrENUM = errors.New("mapping: unusable for ENUM")

// DefaultENUMApex is the public tree (RFC 6116 §3.2).
const DefaultENUMApex = "e164.arpa"

// ENUMName is the domain name whose NAPTR records tell about a global number: its digits in reverse, under
// apex (RFC 6116 §3.2).
func ENUMName(n Number, apex string) (string, error) {
	if !n.IsGlobal() || n.Ext != "" || len(n.Digits) < 3 || len(n.Digits) > 16 {
		return "", fmt.Errorf("%w: %q is no E.164 number", ErrENUM, n.Digits)
	}
	if apex == "" {
		apex = DefaultENUMApex
	}
	b := make([]byte, 0, 2*len(n.Digits)+len(apex))
	for i := len(n.Digits) - 1; i > 0; i-- {
		b = append(b, n.Digits[i], '.')
	}
	return string(append(b, strings.TrimSuffix(apex, ".")...)), nil
}

// NAPTR is one record (RFC 3403 §4.1).
type NAPTR struct {
	Order, Preference uint16
	Flags             string
	Services          string // "E2U+sip", "E2U+voice:tel+sip" …
	Regexp            string
	Replacement       string
}

// ENUMTarget is what one record says.
type ENUMTarget struct {
	URI     string // empty for a record that sends to another name
	Service string // the enumservice that was asked for: "sip", "xmpp", "im:xmpp", "pres" …
	Next    string // domain name to go on with (RFC 6116 §3.4.1.2); the caller bounds the chain
}

// ENUMTargets evaluates the records for a number, best first (RFC 6116 §3.4). services are the enumservices
// wanted, without "E2U+"; a record may join several. Records that cannot be used are skipped. Only the lowest
// order that has a usable record counts (RFC 3403 §4.1).
func ENUMTargets(records []NAPTR, n Number, services ...string) []ENUMTarget {
	sorted := slices.Clone(records)
	slices.SortStableFunc(sorted, func(a, b NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference))
	})
	var out []ENUMTarget
	var order uint16
	for _, r := range sorted {
		if len(out) > 0 && r.Order != order {
			break
		}
		t, ok := target(r, n, services)
		if ok {
			order = r.Order
			out = append(out, t)
		}
	}
	return out
}

func target(r NAPTR, n Number, services []string) (ENUMTarget, bool) {
	switch strings.ToLower(r.Flags) {
	case "":
		next := strings.TrimSuffix(r.Replacement, ".")
		return ENUMTarget{Next: next}, next != "" && r.Regexp == ""
	case "u":
	default:
		return ENUMTarget{}, false
	}
	service, ok := enumService(r.Services, services)
	if !ok {
		return ENUMTarget{}, false
	}
	uri, err := substitute(r.Regexp, n.Digits)
	if err != nil || uri == "" {
		return ENUMTarget{}, false
	}
	return ENUMTarget{URI: uri, Service: service}, true
}

// enumService looks for one of the wanted services in "E2U+a+b:c". RFC 2916 wrote "sip+E2U".
func enumService(field string, wanted []string) (string, bool) {
	parts := strings.Split(strings.ToLower(field), "+")
	if !slices.Contains(parts, "e2u") {
		return "", false
	}
	for _, w := range wanted {
		if slices.Contains(parts, strings.ToLower(w)) {
			return w, true
		}
	}
	return "", false
}

// substitute carries out a NAPTR regexp (RFC 3402 §3.2): delimiter, POSIX ERE, delimiter, replacement with
// \1 … \9, delimiter, flags. Go's engine runs in linear time, so a hostile record cannot stall it.
func substitute(field, input string) (string, error) {
	if len(field) < 4 || len(field) > 255 {
		return "", fmt.Errorf("%w: regexp of %d bytes", ErrENUM, len(field))
	}
	delimiter := field[0]
	if delimiter == '\\' || delimiter >= '0' && delimiter <= '9' || delimiter == 'i' || delimiter >= 0x80 {
		return "", fmt.Errorf("%w: delimiter %q", ErrENUM, delimiter)
	}
	parts := splitDelimited(field[1:], delimiter)
	if len(parts) != 3 || parts[0] == "" || parts[2] != "" && parts[2] != "i" {
		return "", fmt.Errorf("%w: regexp %.80q", ErrENUM, field)
	}
	pattern := parts[0]
	if parts[2] == "i" {
		// POSIX syntax has no (?i); the input is "+" and digits, so only the pattern could tell.
		pattern = strings.ToLower(pattern)
	}
	re, err := regexp.CompilePOSIX(pattern)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrENUM, err)
	}
	match := re.FindStringSubmatch(input)
	if match == nil {
		return "", fmt.Errorf("%w: regexp does not match", ErrENUM)
	}
	var b strings.Builder
	for i := 0; i < len(parts[1]); i++ {
		c := parts[1][i]
		if c != '\\' || i+1 == len(parts[1]) {
			b.WriteByte(c)
			continue
		}
		i++
		if d := parts[1][i]; d < '1' || d > '9' {
			b.WriteByte(d)
		} else if int(d-'0') < len(match) {
			b.WriteString(match[d-'0'])
		} else {
			return "", fmt.Errorf("%w: no group %c", ErrENUM, d)
		}
	}
	return cleanLine(b.String(), 512), nil
}

// splitDelimited splits at delimiters that have no backslash in front and takes the backslash off the others.
func splitDelimited(s string, delimiter byte) []string {
	var parts []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == delimiter:
			i++
			b.WriteByte(delimiter)
		case s[i] == '\\' && i+1 < len(s):
			b.WriteByte(s[i])
			i++
			b.WriteByte(s[i])
		case s[i] == delimiter:
			parts = append(parts, b.String())
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(parts, b.String())
}
