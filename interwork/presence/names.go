package presence

import (
	"fmt"
	"strings"
)

// Authorisation is the durable half of a subscription, in either direction.
type Authorisation uint8

const (
	// None is the zero value: nobody asked, or it was taken back.
	None Authorisation = iota
	// Asked: the decision is awaited.
	Asked
	// Granted: the watcher may see the presentity.
	Granted
	// Denied: the watcher may not.
	Denied
)

var authorisationNames = [...]string{"none", "asked", "granted", "denied"}

func (a Authorisation) String() string { return name(authorisationNames[:], int(a)) }

// ParseAuthorisation is the inverse of String; what it does not know is None.
func ParseAuthorisation(s string) Authorisation {
	for i, n := range authorisationNames {
		if n == s {
			return Authorisation(i)
		}
	}
	return None
}

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("invalid(%d)", i)
}

// setName names the members of a set of effects.
func setName(names []string, set uint32) string {
	var list []string
	for i := range 32 {
		if set&(1<<i) != 0 {
			list = append(list, name(names, i))
		}
	}
	return strings.Join(list, " ")
}
