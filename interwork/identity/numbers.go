package identity

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nyaruka/phonenumbers"

	"github.com/stoxgate/stoxgate/mapping"
)

var (
	// ErrNumber tells that a text is no number that can be brought into E.164 form.
	ErrNumber = errors.New("identity: not a usable telephone number")
	// ErrEmergency tells that a number is an emergency number and those are off.
	ErrEmergency = errors.New("identity: emergency numbers are not carried")
	// ErrShort tells that a number is a short code, which only works inside one network.
	ErrShort = errors.New("identity: short numbers are not carried")
)

// Numbers is the dial plan: how numbers that people type become E.164. The numbering
// plans are those of libphonenumber.
type Numbers struct {
	// Region is the ISO 3166 country (upper case) in which numbers without "+" are dialled;
	// empty: they are refused.
	Region string
	// Emergency lets emergency numbers and short codes through. They are never
	// converted, and no location goes with them.
	Emergency bool
}

// check tells whether the region exists.
func (n Numbers) check() error {
	if n.Region != "" && !phonenumbers.GetSupportedRegions()[n.Region] {
		return fmt.Errorf("%w: unknown region %q for numbers", ErrInvalid, n.Region)
	}
	return nil
}

// E.164 has 15 digits at most. The shortest subscriber numbers have 4 digits behind a
// country code of 3; anything shorter with a "+" is a service code in disguise ("+112").
const (
	minGlobal = 7
	maxGlobal = 15
)

// E164 reads a number as people type it ("030 123456", "tel:+49-30-123456", "0049…") and
// returns "+" and digits. Numbers that are written completely still lose a national
// prefix that does not belong there ("+49 (0)30").
func (n Numbers) E164(text string) (string, error) {
	num, err := mapping.ParseNumber(text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNumber, err)
	}
	if num.IsGlobal() {
		if p, err := phonenumbers.Parse(num.Digits, ""); err == nil && phonenumbers.IsValidNumber(p) {
			num.Digits = phonenumbers.Format(p, phonenumbers.E164)
		}
	}
	num, err = n.Global(num)
	switch {
	case err != nil:
		return "", err
	case !num.IsGlobal():
		return "", fmt.Errorf("%w: %s", ErrShort, num.Digits)
	case num.Ext != "":
		return "", fmt.Errorf("%w: it has an extension", ErrNumber)
	}
	return num.Digits, nil
}

// Global brings a number into the form in which it may leave: a global number as it
// stands, a local one by the dial plan of the region. A number with a phone-context is
// left alone (RFC 3966 §5.1.5). Emergency numbers and short codes give ErrEmergency and
// ErrShort, or stay as they are when they are allowed.
func (n Numbers) Global(num mapping.Number) (mapping.Number, error) {
	if num.IsGlobal() {
		if d := num.Digits[1:]; len(d) < minGlobal || len(d) > maxGlobal || d[0] == '0' {
			return num, fmt.Errorf("%w: %s is no E.164 number", ErrNumber, num.Digits)
		}
		return num, nil
	}
	if n.IsEmergency(num.Digits) {
		if n.Emergency {
			return num, nil
		}
		return num, fmt.Errorf("%w: %s", ErrEmergency, num.Digits)
	}
	if num.Context != "" {
		if n.Emergency {
			return num, nil
		}
		return num, fmt.Errorf("%w: %s is local to %s", ErrShort, num.Digits, num.Context)
	}
	if n.Region == "" {
		return num, fmt.Errorf("%w: %s has no country code, and no default region is configured", ErrNumber, num.Digits)
	}
	p, err := phonenumbers.Parse(num.Digits, n.Region)
	if err != nil {
		return num, fmt.Errorf("%w: %s: %w", ErrNumber, num.Digits, err)
	}
	switch {
	case phonenumbers.IsValidNumber(p):
		num.Digits = phonenumbers.Format(p, phonenumbers.E164)
		return num, nil
	case phonenumbers.IsPossibleShortNumberForRegion(p, n.Region):
		if n.Emergency {
			return num, nil
		}
		return num, fmt.Errorf("%w: %s", ErrShort, num.Digits)
	}
	return num, fmt.Errorf("%w: %s does not exist in %s", ErrNumber, num.Digits, n.Region)
}

// everywhere are the emergency numbers that mobile networks take in any country
// (3GPP TS 22.101 §10.1).
const everywhere = " 112 911 "

// IsEmergency tells whether digits, dialled as they stand, reach an emergency service.
// In a region a number that only begins like one counts too when it is nothing else,
// because exchanges route by the first digits.
func (n Numbers) IsEmergency(digits string) bool {
	if strings.Contains(everywhere, " "+digits+" ") {
		return true
	}
	if n.Region == "" || !phonenumbers.ConnectsToEmergencyNumber(digits, n.Region) {
		return false
	}
	p, err := phonenumbers.Parse(digits, n.Region)
	return err != nil || !phonenumbers.IsValidNumber(p)
}

// isDialled tells whether a user part is something that a person dials: digits with the
// separators of RFC 3966 and nothing else.
func isDialled(user string) bool {
	digits := 0
	for i := range len(user) {
		switch c := user[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c == '-' || c == '.' || c == '(' || c == ')':
		default:
			return false
		}
	}
	return digits > 0
}
