package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func description31(t *testing.T, s *Server) object {
	t.Helper()
	w := call(s, "GET", "/api/v1/openapi.json", "")
	require.Equal(t, 200, w.Code)
	var doc object
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
	return doc
}

// The description names exactly the operations that are mounted.
func TestOpenAPIAndRoutes(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	doc := description31(t, s)
	assert.Equal(t, "3.1.0", doc["openapi"])

	described := map[string]bool{}
	ids := map[string]bool{}
	for path, item := range doc["paths"].(object) {
		for method, op := range item.(object) {
			described[strings.ToUpper(method)+" "+path] = true
			id := op.(object)["operationId"].(string)
			assert.False(t, ids[id], "operationId %s is given twice", id)
			ids[id] = true
			assert.NotEmpty(t, op.(object)["summary"])
			assert.NotEmpty(t, op.(object)["tags"])
		}
	}
	mounted := map[string]bool{}
	for _, r := range s.routes() {
		if !r.hidden {
			mounted[r.method+" "+r.path] = true
		}
	}
	assert.Equal(t, keys(mounted), keys(described))

	// What is described answers, and nothing else under those paths does.
	mux := s.mux(s.routes()).(*http.ServeMux)
	for path := range doc["paths"].(object) {
		concrete := regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x")
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			req, err := http.NewRequest(method, "http://localhost"+concrete, nil)
			require.NoError(t, err)
			_, pattern := mux.Handler(req)
			want := ""
			if described[method+" "+path] {
				want = method + " " + path
			}
			assert.Equal(t, want, pattern, "%s %s", method, path)
		}
	}
}

func keys(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// What the operations answer is what the description says.
func TestAnswersMatchTheirSchemas(t *testing.T) {
	g := newGateway()
	s := newServer(t, g, "")
	doc := description31(t, s)
	g.message("m-1")
	for _, tc := range []struct{ method, path, body, pattern string }{
		{"GET", "/readyz", "", "/readyz"},
		{"GET", "/api/v1/status", "", "/api/v1/status"},
		{"GET", "/api/v1/log", "", "/api/v1/log"},
		{"PUT", "/api/v1/log", `{"level":"warn"}`, "/api/v1/log"},
		{"PUT", "/api/v1/log", `{"level":"loud"}`, "/api/v1/log"},
		{"POST", "/api/v1/identities", `{"jid":"a@b","aors":["sip:a@b"],"numbers":["+49301234"]}`, "/api/v1/identities"},
		{"POST", "/api/v1/identities", `{"jid":"a@b"}`, "/api/v1/identities"},
		{"GET", "/api/v1/identities", "", "/api/v1/identities"},
		{"GET", "/api/v1/identities/id1", "", "/api/v1/identities/{id}"},
		{"GET", "/api/v1/identities/none", "", "/api/v1/identities/{id}"},
		{"PUT", "/api/v1/identities/id1", `{"jid":"a@b"}`, "/api/v1/identities/{id}"},
		{"DELETE", "/api/v1/identities/id1", "", "/api/v1/identities/{id}"},
		{"GET", "/api/v1/registrations", "", "/api/v1/registrations"},
		{"GET", "/api/v1/trunks", "", "/api/v1/trunks"},
		{"GET", "/api/v1/outbox", "", "/api/v1/outbox"},
		{"GET", "/api/v1/outbox/entries", "", "/api/v1/outbox/entries"},
		{"GET", "/api/v1/calls", "", "/api/v1/calls"},
		{"GET", "/api/v1/calls?since=yesterday", "", "/api/v1/calls"},
		{"GET", "/api/v1/flows", "", "/api/v1/flows"},
		{"GET", "/api/v1/flows/m-1", "", "/api/v1/flows/{id}"},
		{"GET", "/api/v1/flows/m-0", "", "/api/v1/flows/{id}"},
		{"GET", "/api/v1/journal", "", "/api/v1/journal"},
	} {
		w := call(s, tc.method, tc.path, tc.body)
		name := fmt.Sprintf("%s %s %d", tc.method, tc.path, w.Code)
		op := doc["paths"].(object)[tc.pattern].(object)[strings.ToLower(tc.method)].(object)
		response, ok := op["responses"].(object)[fmt.Sprint(w.Code)].(object)
		require.True(t, ok, "%s is not described", name)
		content, _ := response["content"].(object)
		if w.Body.Len() == 0 {
			assert.Nil(t, content, name)
			continue
		}
		media, ok := content[w.Header().Get("Content-Type")].(object)
		require.True(t, ok, "%s: media type %s is not described", name, w.Header().Get("Content-Type"))
		dec := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
		dec.UseNumber()
		var value any
		require.NoError(t, dec.Decode(&value))
		for _, fault := range validate(doc, media["schema"].(object), value, "$") {
			t.Errorf("%s: %s", name, fault)
		}
	}
}

// validate knows the part of JSON Schema that the description uses.
func validate(doc, schema object, value any, at string) (faults []string) {
	if ref, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		target, ok := doc["components"].(object)["schemas"].(object)[name].(object)
		if !ok {
			return []string{at + ": " + ref + " leads nowhere"}
		}
		return validate(doc, target, value, at)
	}
	wrong := func() []string { return []string{fmt.Sprintf("%s: %v is no %s", at, value, schema["type"])} }
	switch schema["type"] {
	case "object":
		o, ok := value.(object)
		if !ok {
			return wrong()
		}
		properties, _ := schema["properties"].(object)
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := o[name.(string)]; !ok {
				faults = append(faults, fmt.Sprintf("%s: %s is missing", at, name))
			}
		}
		for name, v := range o {
			p, ok := properties[name].(object)
			if !ok {
				if schema["additionalProperties"] == false {
					faults = append(faults, fmt.Sprintf("%s: %s is not described", at, name))
				}
				continue
			}
			faults = append(faults, validate(doc, p, v, at+"."+name)...)
		}
	case "array":
		items, ok := value.([]any)
		if !ok {
			return wrong()
		}
		for i, v := range items {
			faults = append(faults, validate(doc, schema["items"].(object), v, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "string":
		if _, ok := value.(string); !ok {
			return wrong()
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			return wrong()
		}
	case "integer":
		n, ok := value.(json.Number)
		if _, err := n.Int64(); !ok || err != nil {
			return wrong()
		}
	case "number":
		if _, ok := value.(json.Number); !ok {
			return wrong()
		}
	default:
		return []string{fmt.Sprintf("%s: unknown type %v", at, schema["type"])}
	}
	return faults
}
