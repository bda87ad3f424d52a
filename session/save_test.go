package session_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/session"
)

// sample is a state that has something of everything.
func sample(t testing.TB) *session.State {
	t.Helper()
	return &session.State{Version: 1, Session: "abc", Provider: "stub", SandboxID: "sbx_0001",
		Recipe: session.Recipe{Name: "n", Template: "t", Env: map[string]string{"A": "<&>\u2028 \ufffd"}, Secrets: []string{"B", "code:https://example.com/x"},
			Metadata: map[string]string{"k": "v"}, User: "root", Lifetime: time.Hour, IdleTimeout: time.Minute,
			Resources: compute.Resources{CPUs: 0.5}, Ports: []int{80}, Network: &compute.NetworkPolicy{Allow: []string{"*"}},
			Mounts: []compute.Mount{{Volume: "v", Path: "/v"}}, Code: []compute.CodeMount{{URL: "https://example.com/x"}},
			Extra: []session.Extra{{Provider: "p", Type: "p.O", Value: json.RawMessage(`{"a":1}`)}}},
		Dir: "/work", OnExit: session.Suspend, SnapshotOnExit: true, Snapshot: "snap",
		Timeouts: session.Timeouts{Exec: time.Hour, Resume: -1}}
}

func saved(t testing.TB, s *session.State, key []byte) string {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, session.Save(&buf, s, key))
	return buf.String()
}

func TestSaveAndLoad(t *testing.T) {
	for name, key := range map[string][]byte{"unsigned": nil, "signed": key} {
		t.Run(name, func(t *testing.T) {
			s := sample(t)
			text := saved(t, s, key)
			assert.Equal(t, text, saved(t, s, key), "the same state is the same bytes")
			got, err := session.Load(strings.NewReader(text), key)
			require.NoError(t, err)
			assert.Equal(t, s, got)
		})
	}
}

// Stores may keep JSON by its meaning.
func TestLoadAfterAStore(t *testing.T) {
	var tree any
	require.NoError(t, json.Unmarshal([]byte(saved(t, sample(t), key)), &tree))
	var kept bytes.Buffer
	enc := json.NewEncoder(&kept)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "\t")
	require.NoError(t, enc.Encode(tree))
	got, err := session.Load(&kept, key)
	require.NoError(t, err)
	assert.Equal(t, sample(t), got)
}

func TestSignature(t *testing.T) {
	text := saved(t, sample(t), key)
	for name, test := range map[string]struct {
		text string
		key  []byte
	}{
		"of another key":   {text, bytes.Repeat([]byte("x"), 32)},
		"not looked at":    {text, nil},
		"missing":          {saved(t, sample(t), nil), key},
		"of other content": {strings.Replace(text, "sbx_0001", "sbx_0002", 1), key},
		"with one more":    {strings.Replace(text, `"state":{`, `"state":{"x":1,`, 1), key},
		"with one twice":   {strings.Replace(text, `"session":"abc"`, `"session":"abc","session":"abd"`, 1), key},
		"empty":            {text[:strings.Index(text, `,"signature"`)] + `,"signature":""}`, key},
		"cut":              {strings.Replace(text, `"signature":"`, `"signature":"AAAA`, 1), key},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := session.Load(strings.NewReader(test.text), test.key)
			require.ErrorIs(t, err, session.ErrSignature)
			require.ErrorIs(t, err, compute.ErrInvalid)
		})
	}
	for _, op := range []func() error{
		func() error { return session.Save(&bytes.Buffer{}, sample(t), key[:31]) },
		func() error { _, err := session.Load(strings.NewReader(text), key[:31]); return err },
		func() error { _, err := session.Load(strings.NewReader(text), []byte{}); return err },
	} {
		assert.ErrorContains(t, op(), "32 at least")
	}
}

func TestLoadRefuses(t *testing.T) {
	text := saved(t, sample(t), nil)
	replace := func(old, replacement string) string {
		require.Contains(t, text, old)
		return strings.Replace(text, old, replacement, 1)
	}
	for name, test := range map[string]struct{ text, says string }{
		"nothing":            {"", "not what Save writes"},
		"no state":           {"{}", "not what Save writes"},
		"null":               {"null", "not what Save writes"},
		"a list":             {`{"state":[]}`, "not what Save writes"},
		"more after it":      {text + "{}", "not what Save writes"},
		"a field around it":  {replace(`{"state"`, `{"x":1,"state"`), "not what Save writes"},
		"no version":         {replace(`"version":1`, `"version":0`), "version 0 is not known"},
		"a later version":    {replace(`"version":1`, `"version":2`), "version 2 is not known; this program knows 1"},
		"one with more":      {replace(`"version":1`, `"version":2,"more":1`), "version 2 is not known"},
		"an unknown field":   {replace(`"version":1`, `"version":1,"more":1`), `"more"`},
		"an inner one":       {replace(`"recipe":{`, `"recipe":{"more":1,`), `"more"`},
		"another type":       {replace(`"sandboxId":"sbx_0001"`, `"sandboxId":7`), "another type"},
		"no sandbox":         {replace(`"sandboxId":"sbx_0001"`, `"sandboxId":""`), "no session, provider or sandbox"},
		"a bad port":         {replace(`"ports":[80]`, `"ports":[70000]`), "Ports"},
		"an unknown exit":    {replace(`"onExit":"suspend"`, `"onExit":"explode"`), "explode"},
		"a bad name":         {replace(`"secrets":["B"`, `"secrets":["B="`), "recipe"},
		"a secret's value":   {replace(`"secrets":["B"`, `"secrets":["A"`), "has a value"},
		"a token":            {replace(`"code":[{`, `"code":[{"token":"x",`), "credentials"},
		"a URL with a token": {replace(`"url":"https://`, `"url":"https://x@`), "credentials"},
		"too much":           {`{"state":{"a":"` + strings.Repeat("x", 16<<20) + `"}}`, "more than 16777216 bytes"},
		"too deep":           {`{"state":` + strings.Repeat(`{"a":`, 20000) + strings.Repeat("}", 20000) + "}", "not what Save writes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := session.Load(strings.NewReader(test.text), nil)
			require.ErrorIs(t, err, compute.ErrInvalid)
			assert.ErrorContains(t, err, test.says)
		})
	}
}

func TestSaveRefuses(t *testing.T) {
	for name, change := range map[string]func(*session.State){
		"no sandbox":             func(s *session.State) { s.SandboxID = "" },
		"text that JSON changes": func(s *session.State) { s.Dir = "\xff" },
		"too much":               func(s *session.State) { s.Dir = strings.Repeat("x", 17<<20) },
	} {
		s := sample(t)
		change(s)
		var buf bytes.Buffer
		require.ErrorIs(t, session.Save(&buf, s, nil), compute.ErrInvalid, name)
		assert.Zero(t, buf.Len(), name)
	}
}

// What Load takes is what Save writes, and nothing that it did not sign.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(saved(f, sample(f), nil)), false)
	f.Add([]byte(saved(f, sample(f), key)), true)
	f.Add([]byte(`{"state":{"version":1,"version":2}}`), false)
	f.Add([]byte(`{"state":{"Version":1,"session":"a","provider":"b","sandboxId":"c","recipe":{"env":{"A":"\ud800"}}}}`), false)
	f.Fuzz(func(t *testing.T, data []byte, withKey bool) {
		var k []byte
		if withKey {
			k = key
		}
		s, err := session.Load(bytes.NewReader(data), k)
		if err != nil {
			require.ErrorIs(t, err, compute.ErrInvalid)
			return
		}
		text := saved(t, s, k)
		again, err := session.Load(strings.NewReader(text), k)
		require.NoError(t, err)
		assert.Equal(t, text, saved(t, again, k))
		if withKey {
			assert.Equal(t, saved(t, sample(t), key), text, "it was signed by nobody")
		}
	})
}
