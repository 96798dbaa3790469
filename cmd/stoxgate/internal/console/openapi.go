package console

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object of the description.
type object = map[string]any

const securityNote = "Every operation but /healthz and /avatars/{hash} needs the token of http.token, unless the console listens on a loopback address and has none."

// openAPI makes the OpenAPI 3.1 description of routes.
func openAPI(routes []route, version string) ([]byte, error) {
	d := description{schemas: object{}}
	paths := object{}
	for i := range routes {
		r := &routes[i]
		if r.hidden {
			continue
		}
		path, _ := paths[r.path].(object)
		if path == nil {
			path = object{}
			paths[r.path] = path
		}
		path[strings.ToLower(r.method)] = d.operation(r)
	}
	return json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "stoxgate", "version": version, "description": "Console of the stoxgate XMPP-SIP gateway. " + securityNote,
			"license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"tags": []object{
			{"name": "health", "description": "For monitoring."},
			{"name": "status", "description": "The gateway as a whole."},
			{"name": "identities", "description": "Who is who."},
			{"name": "sip", "description": "Phones and trunks."},
			{"name": "messages", "description": "Messages under way."},
			{"name": "calls", "description": "Accounts of calls."},
			{"name": "journal", "description": "What went over both wires."},
		},
		"security": []object{{"bearer": []string{}}, {"basic": []string{}}},
		"paths":    paths,
		"components": object{
			"schemas": d.schemas,
			"securitySchemes": object{
				"bearer": object{"type": "http", "scheme": "bearer", "description": "The token of http.token."},
				"basic":  object{"type": "http", "scheme": "basic", "description": "Any user name, the token as password."},
			},
		},
	}, "", "  ")
}

type description struct {
	schemas object // by name of the Go type
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func (d *description) operation(r *route) object {
	op := object{"operationId": r.id, "summary": r.summary, "tags": []string{r.tag}}
	var parameters []object
	for _, m := range pathParameter.FindAllStringSubmatch(r.path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	for _, p := range r.query {
		parameters = append(parameters, object{"name": p.name, "in": "query", "description": p.doc, "schema": object{"type": p.kind}})
	}
	for _, p := range r.header {
		parameters = append(parameters, object{"name": p.name, "in": "header", "description": p.doc, "schema": object{"type": p.kind}})
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	switch {
	case r.body != nil:
		op["requestBody"] = object{"required": true, "content": d.content("application/json", r.body)}
	case r.media != "":
		op["requestBody"] = object{"required": true, "content": d.content(r.media, "")}
	}
	op["responses"] = d.responses(r)
	if r.open {
		op["security"] = []object{}
	}
	return op
}

func (d *description) content(media string, value any) object {
	return object{media: object{"schema": d.schema(reflect.TypeOf(value), "")}}
}

func (d *description) responses(r *route) object {
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	good := object{"description": http.StatusText(status)}
	switch {
	case r.answer != nil:
		content := d.content("application/json", r.answer)
		if r.text != "" {
			content[r.text] = object{"schema": d.schema(reflect.TypeFor[string](), "")}
		}
		good["content"] = content
	case r.text != "":
		good["content"] = d.content(r.text, "")
	}
	out := object{strconv.Itoa(status): good}
	failures := r.errors
	if !r.open {
		failures = append([]int{http.StatusUnauthorized, http.StatusForbidden}, failures...)
	}
	for _, code := range failures {
		content := d.content(problemType, Problem{})
		if code == http.StatusServiceUnavailable && r.answer != nil { // of /readyz
			content = d.content("application/json", r.answer)
		}
		out[strconv.Itoa(code)] = object{"description": http.StatusText(code), "content": content}
	}
	return out
}

// schema describes a Go type by the rules of encoding/json; doc is the tag of
// the field that has the type.
func (d *description) schema(t reflect.Type, doc string) object {
	s := object{}
	if doc != "" {
		s["description"] = doc
	}
	if t == reflect.TypeFor[time.Time]() {
		s["type"], s["format"] = "string", "date-time"
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem(), doc)
	case reflect.Struct:
		d.define(t)
		s["$ref"] = "#/components/schemas/" + t.Name()
	case reflect.Slice:
		s["type"], s["items"] = "array", d.schema(t.Elem(), "")
	case reflect.Map:
		s["type"] = "object"
	case reflect.Bool:
		s["type"] = "boolean"
	case reflect.Float64:
		s["type"] = "number"
	case reflect.String:
		s["type"] = "string"
	default: // the integers
		s["type"] = "integer"
	}
	return s
}

// define adds the schema of a struct type under its name.
func (d *description) define(t reflect.Type) {
	if _, done := d.schemas[t.Name()]; done {
		return
	}
	properties, required := object{}, []string{}
	out := object{"type": "object", "properties": properties, "additionalProperties": false}
	d.schemas[t.Name()] = out // before the fields, which may lead back here
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || !f.IsExported() {
			continue
		}
		properties[name] = d.schema(f.Type, f.Tag.Get("doc"))
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	if len(required) > 0 {
		out["required"] = required
	}
}
