package identity

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// CSV is RFC 4180 with a header row, in UTF-8 (a byte order mark is taken). Columns:
//
//	id              its name; empty: made from the first address
//	jid             bare JID; empty: a phone only
//	aors            SIP addresses "sip:user@host" or "user@host", separated by "|"
//	numbers         telephone numbers, separated by "|"
//	name            display name
//	trunk           name of a trunk
//	call_out        may send and call; yes/no, true/false, 1/0; empty: yes
//	call_in         may be reached; likewise
//	show_caller_id  others see who it is; likewise
//	password        only read: turned into credentials and forgotten
//	credentials     "user@realm:HA1 by MD5:HA1 by SHA-256", the user with % escapes, one of
//	                the hashes may be empty, separated by "|"; only used without a password
//
// Columns may come in any order. One that is missing leaves what an existing identity has
// there; an empty field empties it, but an empty password and empty credentials keep the
// credentials.
var csvColumns = []string{
	"id", "jid", "aors", "numbers", "name", "trunk", "call_out", "call_in", "show_caller_id", "password", "credentials",
}

const listSeparator = "|"

// maxImport bounds a file, in bytes: a million identities.
const maxImport = 512 << 20

// LineError is what is wrong with one line of a CSV file.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap gives the reason.
func (e *LineError) Unwrap() error { return e.Err }

// ImportError holds everything that is wrong with a CSV file.
type ImportError struct{ Lines []*LineError }

func (e *ImportError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "identity: %d errors in the file, nothing was imported", len(e.Lines))
	for _, l := range e.Lines {
		b.WriteByte('\n')
		b.WriteString(l.Error())
	}
	return b.String()
}

// Unwrap gives the lines.
func (e *ImportError) Unwrap() []error {
	list := make([]error, len(e.Lines))
	for i, l := range e.Lines {
		list[i] = l
	}
	return list
}

// ImportResult counts what an import did, or would do.
type ImportResult struct{ Added, Updated, Unchanged int }

// ImportCSV adds the identities of a file and updates those whose id is there already.
// Either all lines count or none: errors are collected in an *ImportError. With dryRun
// everything is checked and nothing is changed. It is one transaction, so a very large
// file (100 000 lines take some seconds) holds up other writing meanwhile.
func (t *Table) ImportCSV(ctx context.Context, r io.Reader, dryRun bool) (ImportResult, error) {
	rows, problems, err := readCSV(r)
	if err != nil {
		return ImportResult{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	cur := t.cur.Load()

	var result ImportResult
	var put []*Identity
	lines := make(map[string]int, len(rows)) // by id
	for i := range rows {
		row := &rows[i]
		id, err := t.fromCSV(cur, row, lines)
		if err == nil && lines[id.ID] != 0 {
			err = fmt.Errorf("%w: id %q is on line %d too", ErrInvalid, id.ID, lines[id.ID])
		}
		if err != nil {
			problems = append(problems, &LineError{row.line, err})
			continue
		}
		lines[id.ID] = row.line
		switch old := cur.byID(id.ID); {
		case old == nil:
			result.Added++
		case same(old, id):
			result.Unchanged++
			continue
		default:
			result.Updated++
		}
		put = append(put, id)
	}

	// The same as change does, but to tell every conflict with its line.
	e := cur.edit()
	for _, id := range put {
		e.remove(id.ID)
	}
	for _, id := range put {
		err := e.conflict(id)
		if err == nil {
			e.add(id)
			continue
		}
		var taken *TakenError
		if errors.As(err, &taken) && lines[taken.Owner] != 0 {
			err = fmt.Errorf("%w (line %d)", err, lines[taken.Owner])
		}
		problems = append(problems, &LineError{lines[id.ID], err})
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b *LineError) int { return a.Line - b.Line })
		return ImportResult{}, &ImportError{problems}
	}
	if dryRun || len(put) == 0 {
		return result, nil
	}
	if err := t.change(ctx, put, nil); err != nil {
		return ImportResult{}, err
	}
	return result, nil
}

// csvRow is a line as text.
type csvRow struct {
	line    int
	fields  []string
	columns map[string]int // the same for all
}

// get returns a field; false when the file has no such column.
func (r *csvRow) get(column string) (string, bool) {
	i, ok := r.columns[column]
	if !ok {
		return "", false
	}
	return r.fields[i], true
}

func (r *csvRow) text(column string) string {
	s, _ := r.get(column)
	return s
}

// readCSV reads the lines; problems are lines that have the wrong shape, err is about the
// file.
func readCSV(r io.Reader) (rows []csvRow, problems []*LineError, err error) {
	data, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err != nil {
		return nil, nil, fmt.Errorf("identity: reading CSV: %w", err)
	}
	if len(data) > maxImport {
		return nil, nil, fmt.Errorf("%w: file of more than %d bytes", ErrInvalid, maxImport)
	}
	c := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff"))))
	c.FieldsPerRecord = -1
	header, err := c.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: no header row: %w", ErrInvalid, err)
	}
	columns := make(map[string]int, len(header))
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		_, twice := columns[name]
		switch {
		case !slices.Contains(csvColumns, name):
			problems = append(problems, &LineError{1, fmt.Errorf("%w: unknown column %.40q, known are %s", ErrInvalid, name, strings.Join(csvColumns, ","))})
		case twice:
			problems = append(problems, &LineError{1, fmt.Errorf("%w: column %q comes twice", ErrInvalid, name)})
		}
		columns[name] = i
	}
	if len(problems) > 0 {
		return nil, nil, &ImportError{problems}
	}
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return rows, problems, nil
		}
		if err != nil {
			var p *csv.ParseError
			line := 0
			if errors.As(err, &p) {
				line, err = p.StartLine, p.Err
			}
			// What follows a broken quote cannot be told apart.
			return rows, append(problems, &LineError{line, fmt.Errorf("%w: %w", ErrInvalid, err)}), nil
		}
		line, _ := c.FieldPos(0)
		if len(record) != len(header) {
			problems = append(problems, &LineError{line, fmt.Errorf("%w: %d fields, the header has %d", ErrInvalid, len(record), len(header))})
			continue
		}
		rows = append(rows, csvRow{line, record, columns})
	}
}

// fromCSV makes the identity of a line, in normal form; all errors of the line are joined.
func (t *Table) fromCSV(cur *snapshot, row *csvRow, lines map[string]int) (*Identity, error) {
	id := &Identity{Policy: AllowAll}
	var errs []error
	if name := strings.TrimSpace(row.text("id")); name != "" {
		if old := cur.byID(name); old != nil {
			*id = *old
		}
		id.ID = name
	}
	field := func(name string, set func(text string) error) {
		if text, ok := row.get(name); ok {
			if err := set(strings.TrimSpace(text)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	field("jid", func(s string) (err error) {
		if id.JID = (xmpp.JID{}); s != "" {
			id.JID, err = xmpp.ParseJID(strings.TrimPrefix(s, "xmpp:"))
		}
		return err
	})
	field("aors", func(s string) (err error) { id.AORs, err = parseAORs(s); return err })
	field("numbers", func(s string) error { id.Numbers = split(s); return nil })
	field("name", func(s string) error { id.Name = s; return nil })
	field("trunk", func(s string) error { id.Trunk = s; return nil })
	field("call_out", flagField(&id.Policy.CallOut))
	field("call_in", flagField(&id.Policy.CallIn))
	field("show_caller_id", flagField(&id.Policy.ShowCallerID))
	field("credentials", func(s string) error {
		list, err := parseCredentials(s)
		if len(list) > 0 {
			id.Credentials = list
		}
		return err
	})
	if id.ID == "" {
		id.ID = newID(id, func(s string) bool { return cur.byID(s) != nil || lines[s] != 0 })
	}
	// The password is taken as it stands, spaces included.
	if err := errors.Join(append(errs, t.prepare(id, row.text("password")))...); err != nil {
		return nil, err
	}
	if given, _ := parseCredentials(row.text("credentials")); row.text("password") == "" && len(given) > len(id.Credentials) {
		return nil, fmt.Errorf("%w: credentials: each must be of a user of the addresses, or of the id, and of their host, and have a hash", ErrInvalid)
	}
	return id, nil
}

func split(s string) []string {
	var list []string
	for part := range strings.SplitSeq(s, listSeparator) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func parseAORs(s string) ([]sip.URI, error) {
	var list []sip.URI
	for _, text := range split(s) {
		u, err := ParseAOR(text)
		if err != nil {
			return nil, err
		}
		list = append(list, u)
	}
	return list, nil
}

// ParseAOR reads a SIP address as people write it, with or without "sip:".
func ParseAOR(text string) (sip.URI, error) {
	text = strings.TrimSpace(text)
	if lower := strings.ToLower(text); !strings.HasPrefix(lower, "sip:") && !strings.HasPrefix(lower, "sips:") {
		text = "sip:" + text
	}
	u, err := sip.ParseURI(text)
	if err == nil && u.User == "" {
		err = fmt.Errorf("%w: %.80q has no user", ErrInvalid, text)
	}
	return u, err
}

func flagField(dst *bool) func(string) error {
	return func(s string) error {
		switch strings.ToLower(s) {
		case "", "yes", "true", "1":
			*dst = true
		case "no", "false", "0":
			*dst = false
		default:
			return fmt.Errorf("%w: %.40q is neither yes nor no", ErrInvalid, s)
		}
		return nil
	}
}

func parseCredentials(s string) ([]Credential, error) {
	var list []Credential
	for _, text := range split(s) {
		// A realm may be an IPv6 address, so the colons are counted from the end.
		sha := strings.LastIndexByte(text, ':')
		md := strings.LastIndexByte(text[:max(sha, 0)], ':')
		at := strings.LastIndexByte(text[:max(md, 0)], '@')
		if at < 1 {
			return nil, fmt.Errorf("%w: not of the form user@realm:MD5:SHA-256", ErrInvalid)
		}
		user, err := sip.UnescapeUser(text[:at])
		if err != nil {
			return nil, err
		}
		c := Credential{User: user, Realm: strings.ToLower(text[at+1 : md])}
		if err := c.setHex(text[md+1:sha], text[sha+1:]); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// ExportCSV writes all identities by id. ImportCSV of it gives the same table.
func (t *Table) ExportCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	columns := slices.DeleteFunc(slices.Clone(csvColumns), func(s string) bool { return s == "password" })
	if err := c.Write(columns); err != nil {
		return fmt.Errorf("identity: writing CSV: %w", err)
	}
	for _, id := range t.cur.Load().byIDOrder() {
		aors := make([]string, len(id.AORs))
		for i, a := range id.AORs {
			aors[i] = a.String()
		}
		credentials := make([]string, len(id.Credentials))
		for i, c := range id.Credentials {
			md5, _ := c.HA1("MD5")
			sha, _ := c.HA1("SHA-256")
			credentials[i] = sip.EscapeUser(c.User) + "@" + c.Realm + ":" + md5 + ":" + sha
		}
		if err := c.Write([]string{
			id.ID, id.JID.String(), strings.Join(aors, listSeparator), strings.Join(id.Numbers, listSeparator), id.Name, id.Trunk,
			strconv.FormatBool(id.Policy.CallOut), strconv.FormatBool(id.Policy.CallIn), strconv.FormatBool(id.Policy.ShowCallerID),
			strings.Join(credentials, listSeparator),
		}); err != nil {
			return fmt.Errorf("identity: writing CSV: %w", err)
		}
	}
	c.Flush()
	if err := c.Error(); err != nil {
		return fmt.Errorf("identity: writing CSV: %w", err)
	}
	return nil
}

// same tells whether two identities in normal form are equal.
func same(a, b *Identity) bool {
	return a.ID == b.ID && a.JID == b.JID && a.Name == b.Name && a.Trunk == b.Trunk && a.Policy == b.Policy &&
		slices.Equal(a.Numbers, b.Numbers) && slices.Equal(a.Credentials, b.Credentials) &&
		slices.EqualFunc(a.AORs, b.AORs, func(x, y sip.URI) bool { return x.String() == y.String() })
}
