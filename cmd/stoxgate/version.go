package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// versionCmd prints what the binary was built from.
type versionCmd struct {
	Short bool `help:"Only the version itself."`
}

func (c versionCmd) Run(p *program) error {
	b := readBuild()
	if c.Short {
		_, err := fmt.Fprintln(p.stdout, b.version)
		return err
	}
	_, err := fmt.Fprintln(p.stdout, b)
	return err
}

// build is what the toolchain wrote into the binary.
type build struct {
	version  string
	revision string
	time     string
	modified bool
}

// readBuild reads the build information of this binary.
func readBuild() build {
	b := build{version: "devel"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value
		case "vcs.time":
			b.time = s.Value
		case "vcs.modified":
			b.modified = s.Value == "true"
		}
	}
	return b
}

func (b build) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "stoxgate %s", b.version)
	if b.revision != "" {
		fmt.Fprintf(&s, " (commit %.12s", b.revision)
		if b.modified {
			s.WriteString(", modified")
		}
		if b.time != "" {
			fmt.Fprintf(&s, ", %s", b.time)
		}
		s.WriteByte(')')
	}
	fmt.Fprintf(&s, " %s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return s.String()
}
