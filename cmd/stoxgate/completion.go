package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd prints a completion script. The scripts hold the words; they do
// not call the program.
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (completionCmd) Help() string {
	return `Examples:
  stoxgate completion bash > /etc/bash_completion.d/stoxgate
  stoxgate completion zsh > "${fpath[1]}/_stoxgate"
  stoxgate completion fish > ~/.config/fish/completions/stoxgate.fish`
}

func (c completionCmd) Run(p *program) error {
	words := completionWords(p.model)
	switch c.Shell {
	case "bash":
		return bashCompletion(p.stdout, words)
	case "zsh":
		return zshCompletion(p.stdout, words)
	default:
		return fishCompletion(p.stdout, words)
	}
}

// level is one command with what may follow it.
type level struct {
	path     string // "identity add"; empty for the program itself
	commands []word
	flags    []completionFlag
	values   []string // of a positional argument with an enum
	files    bool     // a positional argument is a file
}

type word struct{ name, help string }

type completionFlag struct {
	word
	short  string
	values []string // enum
	file   bool
	bool   bool
}

// completionWords reads the model of kong, the program first, then its commands
// in order.
func completionWords(app *kong.Application) []level {
	var out []level
	var visit func(n *kong.Node, path string)
	visit = func(n *kong.Node, path string) {
		l := level{path: path}
		for _, child := range n.Children {
			if !child.Hidden {
				l.commands = append(l.commands, word{child.Name, child.Help})
			}
		}
		for _, group := range n.AllFlags(true) {
			for _, f := range group {
				l.flags = append(l.flags, flagWords(f))
			}
		}
		for _, a := range n.Positional {
			l.values = append(l.values, enumValues(a)...)
			l.files = l.files || isFile(a)
		}
		out = append(out, l)
		for _, child := range n.Children {
			if !child.Hidden {
				visit(child, strings.TrimSpace(path+" "+child.Name))
			}
		}
	}
	visit(app.Node, "")
	return out
}

func flagWords(f *kong.Flag) completionFlag {
	out := completionFlag{word: word{"--" + f.Name, f.Help}, values: enumValues(f.Value), file: isFile(f.Value), bool: f.IsBool()}
	if f.Short != 0 {
		out.short = "-" + string(f.Short)
	}
	return out
}

func isFile(v *kong.Value) bool { return v.Tag != nil && v.Tag.Get("completion") == "file" }

func enumValues(v *kong.Value) (out []string) {
	if v.Enum == "" {
		return nil
	}
	for _, s := range strings.Split(v.Enum, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// words are all words that may follow the command.
func (l level) words() []string {
	var out []string
	for _, c := range l.commands {
		out = append(out, c.name)
	}
	out = append(out, l.values...)
	for _, f := range l.flags {
		out = append(out, f.name)
	}
	return out
}

const bashHead = `# bash completion for stoxgate, made by "stoxgate completion bash".
_stoxgate() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" path="" w
    for w in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path $w" in
`

const bashMiddle = `        esac
    done
    COMPREPLY=()
    case "$path|$before" in
`

const bashTail = `    esac
}
complete -F _stoxgate stoxgate
`

func bashCompletion(w io.Writer, levels []level) error {
	var b strings.Builder
	b.WriteString(bashHead)
	for _, l := range levels[1:] {
		fmt.Fprintf(&b, "            %q) path=%q ;;\n", " "+l.path, " "+l.path)
	}
	b.WriteString(bashMiddle)
	for _, l := range levels {
		for _, f := range l.flags {
			for _, name := range []string{f.name, f.short} {
				if name != "" && !f.bool {
					fmt.Fprintf(&b, "        %q) %s; return ;;\n", bashPath(l.path)+"|"+name, bashValues(f.values, f.file))
				}
			}
		}
	}
	b.WriteString("    esac\n    case \"$path\" in\n")
	for _, l := range levels {
		fmt.Fprintf(&b, "        %q) COMPREPLY=($(compgen -W %q -- \"$word\"))", bashPath(l.path), strings.Join(l.words(), " "))
		if l.files {
			b.WriteString("; COMPREPLY+=($(compgen -f -- \"$word\"))")
		}
		b.WriteString(" ;;\n")
	}
	b.WriteString(bashTail)
	_, err := io.WriteString(w, b.String())
	return err
}

func bashPath(path string) string {
	if path == "" {
		return ""
	}
	return " " + path
}

func bashValues(values []string, file bool) string {
	switch {
	case file:
		return `COMPREPLY=($(compgen -f -- "$word"))`
	case values != nil:
		return fmt.Sprintf(`COMPREPLY=($(compgen -W %q -- "$word"))`, strings.Join(values, " "))
	default:
		return ":"
	}
}

// zshQuote makes text safe inside single quotes of an _arguments or _describe
// specification.
func zshQuote(s string) string {
	return strings.NewReplacer(`'`, `'\''`, `:`, `\:`, `[`, `\[`, `]`, `\]`).Replace(s)
}

func zshCompletion(w io.Writer, levels []level) error {
	var b strings.Builder
	b.WriteString("#compdef stoxgate\n# zsh completion for stoxgate, made by \"stoxgate completion zsh\".\n_stoxgate() {\n")
	b.WriteString("    local path=\"\" w\n    for w in \"${words[@]:1:CURRENT-2}\"; do\n        case \"$path $w\" in\n")
	for _, l := range levels[1:] {
		fmt.Fprintf(&b, "            %q) path=%q ;;\n", " "+l.path, " "+l.path)
	}
	b.WriteString("        esac\n    done\n    local -a commands\n    case \"$path\" in\n")
	for _, l := range levels {
		fmt.Fprintf(&b, "        %q)\n", bashPath(l.path))
		if len(l.commands) > 0 {
			b.WriteString("            commands=(")
			for _, c := range l.commands {
				fmt.Fprintf(&b, "'%s:%s' ", c.name, zshQuote(c.help))
			}
			b.WriteString(")\n            _describe command commands\n")
		}
		b.WriteString("            _arguments")
		for _, f := range l.flags {
			fmt.Fprintf(&b, " \\\n                '%s[%s]%s'", f.name, zshQuote(f.help), zshAction(f))
		}
		if l.values != nil {
			fmt.Fprintf(&b, " \\\n                '*:value:(%s)'", strings.Join(l.values, " "))
		} else if l.files {
			b.WriteString(" \\\n                '*:file:_files'")
		}
		b.WriteString("\n            ;;\n")
	}
	b.WriteString("    esac\n}\n_stoxgate \"$@\"\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func zshAction(f completionFlag) string {
	switch {
	case f.bool:
		return ""
	case f.file:
		return ":file:_files"
	case f.values != nil:
		return ":value:(" + strings.Join(f.values, " ") + ")"
	default:
		return ":value:"
	}
}

func fishQuote(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) }

func fishCompletion(w io.Writer, levels []level) error {
	var b strings.Builder
	b.WriteString("# fish completion for stoxgate, made by \"stoxgate completion fish\".\ncomplete -c stoxgate -f\n")
	for _, l := range levels {
		condition := fishCondition(l)
		for _, c := range l.commands {
			fmt.Fprintf(&b, "complete -c stoxgate -n '%s' -a %s -d '%s'\n", condition, c.name, fishQuote(c.help))
		}
		for _, v := range l.values {
			fmt.Fprintf(&b, "complete -c stoxgate -n '%s' -a %s\n", condition, v)
		}
		if l.files {
			fmt.Fprintf(&b, "complete -c stoxgate -n '%s' -F\n", condition)
		}
		for _, f := range l.flags {
			fmt.Fprintf(&b, "complete -c stoxgate -n '%s' -l %s", condition, strings.TrimPrefix(f.name, "--"))
			if f.short != "" {
				fmt.Fprintf(&b, " -s %s", f.short[1:])
			}
			switch {
			case f.bool:
			case f.file:
				b.WriteString(" -r -F")
			case f.values != nil:
				fmt.Fprintf(&b, " -x -a '%s'", strings.Join(f.values, " "))
			default:
				b.WriteString(" -x")
			}
			fmt.Fprintf(&b, " -d '%s'\n", fishQuote(f.help))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fishCondition holds when the words so far select the command and no command
// below it.
func fishCondition(l level) string {
	if l.path == "" {
		return "__fish_use_subcommand"
	}
	parts := strings.Fields(l.path)
	conditions := make([]string, 0, len(parts)+1)
	for _, part := range parts {
		conditions = append(conditions, "__fish_seen_subcommand_from "+part)
	}
	if len(l.commands) > 0 {
		var names []string
		for _, c := range l.commands {
			names = append(names, c.name)
		}
		slices.Sort(names)
		conditions = append(conditions, "not __fish_seen_subcommand_from "+strings.Join(names, " "))
	}
	return strings.Join(conditions, "; and ")
}
