package config

import (
	"errors"
	"fmt"
	"strings"
)

// expand replaces ${NAME} by the variable and ${NAME:-text} by the variable or,
// when that is unset or empty, by text. $${ stands for a plain ${. A variable
// that is not set and has no default is an error, so that a forgotten secret
// cannot become an empty one.
func expand(s string, env Environment) (string, error) {
	if !strings.Contains(s, "${") {
		return s, nil
	}
	var b strings.Builder
	var errs []error
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			break
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			return "", errors.New(`"${" without "}"`)
		}
		name, fallback, hasFallback := strings.Cut(s[i+2:i+end], ":-")
		s = s[i+end+1:]
		value, ok := env(name)
		switch {
		case !validVariable(name):
			errs = append(errs, fmt.Errorf("${%s}: not the name of an environment variable", name))
		case hasFallback && value == "":
			b.WriteString(fallback)
		case !ok && !hasFallback:
			errs = append(errs, fmt.Errorf("environment variable %s is not set", name))
		default:
			b.WriteString(value)
		}
	}
	return b.String(), errors.Join(errs...)
}

func validVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
