package console

import (
	"encoding/csv"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCalls(t *testing.T) {
	g := newGateway()
	s, c := start(t, g, testToken)
	read := func(q CallQuery) (flows string) {
		t.Helper()
		require.NoError(t, c.Calls(t.Context(), q, func(c Call) error { flows += c.Flow + " "; return nil }))
		return strings.TrimSpace(flows)
	}
	assert.Equal(t, "c-3 c-2 c-1", read(CallQuery{}))
	assert.Equal(t, "c-3 c-2", read(CallQuery{Limit: 2}))
	assert.Equal(t, "c-2 c-1", read(CallQuery{After: Call{Started: noon.Add(3 * time.Minute), Flow: "c-3"}.Position()}))
	assert.Equal(t, "c-3 c-2", read(CallQuery{Since: noon.Add(2 * time.Minute)}))
	assert.Equal(t, "c-1", read(CallQuery{Until: noon.Add(2 * time.Minute)}))
	assert.Empty(t, read(CallQuery{Party: "nobody@chat.example"}))
	stop := errors.New("stop")
	assert.ErrorIs(t, c.Calls(t.Context(), CallQuery{}, func(Call) error { return stop }), stop)
	assert.ErrorIs(t, c.Calls(t.Context(), CallQuery{After: "x"}, func(Call) error { return nil }), ErrInvalid)

	// Page by page.
	var page CallPage
	require.NoError(t, c.json(t.Context(), "GET", callsPath+"?limit=2", nil, &page))
	require.Len(t, page.Calls, 2)
	require.NotEmpty(t, page.Next)
	next := page.Next
	page = CallPage{}
	require.NoError(t, c.json(t.Context(), "GET", callsPath+"?limit=2&after="+next, nil, &page))
	require.Len(t, page.Calls, 1)
	require.Empty(t, page.Next)

	token := []string{"Authorization", "Bearer " + testToken}
	for _, path := range []string{"?since=now", "?until=1", "?limit=0", "?limit=1001", "?format=xml"} {
		assert.Equal(t, 400, call(s, "GET", callsPath+path, "", token...).Code, path)
	}
	var b strings.Builder
	require.NoError(t, c.CallsCSV(t.Context(), CallQuery{}, &b))
	rows, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 4)
	assert.Equal(t, callColumns, rows[0])
	assert.Equal(t, "c-3", rows[1][0])
	assert.Equal(t, "'=1+1", rows[1][12])
	w := call(s, "GET", callsPath+"?party=nobody@chat.example", "", append(token, "Accept", "text/csv")...)
	assert.Equal(t, 200, w.Code)
	assert.Equal(t, "text/csv; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Equal(t, strings.Join(callColumns, ",")+"\n", w.Body.String())
	assert.Equal(t, 422, call(s, "GET", callsPath+"?after=x&format=csv", "", token...).Code)
}
