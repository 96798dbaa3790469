package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The scripts know every command and flag, and the shells that are here accept
// them.
func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			r := execute(t, "", "completion", shell)
			require.Equal(t, exitOK, r.code, r.err)
			for _, want := range []string{"serve", "identity", "export", "translate", "chat normal", "generate-password", "bash zsh fish"} {
				if shell == "fish" {
					want = strings.ReplaceAll(want, "bash zsh fish", "-a zsh")
				}
				assert.Contains(t, r.out, want)
			}
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(shell + " is not here to read its script")
			}
			file := filepath.Join(t.TempDir(), "script")
			require.NoError(t, os.WriteFile(file, []byte(r.out), 0o600))
			out, err := exec.Command(path, "-n", file).CombinedOutput()
			require.NoError(t, err, string(out))
		})
	}
}

func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not here")
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	require.NoError(t, os.WriteFile(script, []byte(execute(t, "", "completion", "bash").out), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "some.yaml"), nil, 0o600))
	for line, want := range map[string]string{
		"stoxgate ser":                       "serve",
		"stoxgate identity ex":               "export",
		"stoxgate identity add --gen":        "--generate-password",
		"stoxgate translate --type n":        "normal",
		"stoxgate completion z":              "zsh",
		"stoxgate serve --config some":       "some.yaml",
		"stoxgate serve -c some":             "some.yaml",
		"stoxgate identity import some":      "some.yaml",
		"stoxgate --console x identity sh":   "show",
		"stoxgate trace --width 80 --as":     "--ascii",
		"stoxgate identity add --password x": "",
	} {
		words := strings.Fields(line)
		cmd := exec.Command(bash, "-c", `source ./script; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _stoxgate; echo "${COMPREPLY[*]}"`, "bash")
		cmd.Args = append(cmd.Args, words...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Equal(t, want, strings.TrimSpace(string(out)), line)
	}
}
