package quickstart

import (
	_ "embed"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"text/template"
)

//go:embed templates/help.txt.tmpl
var helpText string

var help = template.Must(template.New("help").Parse(helpText))

// command is how people call this program: by its name when it is installed, by
// way of Go when that is how it was started, else by its path.
func command(program string) string {
	if installed, err := exec.LookPath("stoxgate"); err == nil && installed == program {
		return "stoxgate"
	}
	if strings.Contains(program, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/stoxgate"
	}
	return short(program)
}

// short is a path as it is written from here, where that is shorter.
func short(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	relative, err := filepath.Rel(here, path)
	if err != nil || strings.HasPrefix(relative, "..") {
		return path
	}
	return relative
}

// printHelp tells what to type into a Jabber client and a SIP phone.
func printHelp(w io.Writer, s *setup, o Options) error {
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	err := help.Execute(columns, map[string]any{
		"Console": s.consoleAddress(), "Config": short(s.gatewayFile()), "Dir": short(o.Dir),
		"Domain": s.domain, "Component": s.component(), "Address": s.address, "Port": strconv.Itoa(s.Ports.Client),
		"SIP":   net.JoinHostPort(s.address, strconv.Itoa(s.Ports.SIP)),
		"Phone": short(s.phoneDir()), "MediaPorts": mediaPorts,
		"Command": command(o.Program), "Accounts": s.Accounts, "Phones": s.Phones,
	})
	if err != nil {
		return err
	}
	return columns.Flush()
}
