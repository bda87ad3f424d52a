package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/session"
)

const canary = "c4nary-v4lue"

// extra are options of a provider's own.
type extra struct {
	Size     int
	APIToken string            `json:"api_token,omitempty"`
	Inner    map[string]string `json:",omitempty"`
	Func     func()            `json:"-"`
}

func (extra) ForProvider() string { return "other" }

// A secret is nowhere but in the sandbox: not in a state, an error or a log.
func TestSecretsStayOut(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := compute.Intercept(p, compute.Log(log))
	note := func(what string, vs ...any) {
		for _, v := range vs {
			fmt.Fprintf(&out, "%s: %v %+v %#v %q\n", what, v, v, v, fmt.Sprint(v))
			log.Info(what, "v", v)
		}
	}
	create := func() compute.CreateSandboxOptions {
		return compute.CreateSandboxOptions{Env: map[string]string{"TOKEN": canary}, Extra: []compute.ProviderOptions{extra{Size: 1, APIToken: canary}}}
	}
	opts := session.Options{Create: create(), OnExit: session.Suspend}
	s, err := session.Start(t.Context(), c, opts)
	require.NoError(t, err)
	note("session", s, *s.State(), s.State(), s.Arrival())
	text, err := compute.Output(t.Context(), s, compute.Shell("echo $TOKEN"))
	require.NoError(t, err)
	require.Equal(t, canary+"\n", text, "it is in the sandbox")
	require.NoError(t, session.Save(&out, s.State(), []byte(canary+canary+canary)))
	require.NoError(t, s.Close(t.Context()))

	for name, change := range map[string]func(*session.Options){
		"a URL with a token": func(o *session.Options) {
			o.Create.Code = []compute.CodeMount{{URL: "https://" + canary + "@example.com/x"}}
		},
		"a URL with a password": func(o *session.Options) {
			o.Create.Code = []compute.CodeMount{{URL: "ssh://u:" + canary + "@example.com/x"}}
		},
		"a URL with a query": func(o *session.Options) {
			o.Create.Code = []compute.CodeMount{{URL: "https://example.com/x?t=" + canary}}
		},
		"an address with one": func(o *session.Options) {
			o.Create.Code = []compute.CodeMount{{URL: "u:" + canary + "@example.com:x y"}}
		},
		"a token, unsupported": func(o *session.Options) {
			o.Create.Code = []compute.CodeMount{{URL: "https://example.com/x", Token: canary}}
		},
		"a stored token": func(o *session.Options) { o.StoreExtra = true },
		"one deeper": func(o *session.Options) {
			o.StoreExtra, o.Create.Extra = true, []compute.ProviderOptions{&extra{Inner: map[string]string{"password": canary}}}
		},
		"what is no JSON": func(o *session.Options) {
			o.StoreExtra, o.Create.Extra = true, []compute.ProviderOptions{&extra{Inner: map[string]string{"x": canary}, Func: func() {}}}
		},
		"a bad value": func(o *session.Options) { o.Create.Env = map[string]string{"TOKEN": canary + "\x00"} },
		"a bad name":  func(o *session.Options) { o.Create.Env = map[string]string{"TOKEN=": canary} },
		"a failing Save": func(o *session.Options) {
			o.Save = func(_ context.Context, s *session.State) error { note("saved", *s); return errors.New("disk full") }
		},
	} {
		o := session.Options{Create: create()}
		change(&o)
		_, err := session.Start(t.Context(), c, o)
		require.Error(t, err, name)
		note(name, err)
	}

	st := s.State()
	require.NoError(t, p.DestroySandbox(t.Context(), st.SandboxID))
	secret := func(context.Context, string) (string, error) { return canary, nil }
	given := []compute.ProviderOptions{extra{APIToken: canary}}
	lookup := errors.New("vault said " + canary)
	for name, opts := range map[string]session.ResumeOptions{
		"no secret":       {AllowRemake: true},
		"no options":      {AllowRemake: true, Secret: secret},
		"a failed lookup": {AllowRemake: true, Extra: given, Secret: func(context.Context, string) (string, error) { return canary, lookup }},
		"a bad secret":    {AllowRemake: true, Extra: given, Secret: func(context.Context, string) (string, error) { return canary + "\x00", nil }},
	} {
		_, err := session.Resume(t.Context(), c, st, opts)
		require.Error(t, err, name)
		note(name, err)
		if name == "a failed lookup" {
			require.ErrorIs(t, err, lookup)
		}
		assert.Empty(t, boxes(t, p))
	}
	s, err = session.Resume(t.Context(), c, st, session.ResumeOptions{AllowRemake: true, Secret: secret, Extra: given})
	require.NoError(t, err)
	require.NoError(t, session.Save(&out, s.State(), nil))
	note("resumed", s)
	assert.NotContains(t, out.String(), canary)
	assert.Contains(t, out.String(), `"TOKEN"`)
}

// What is declared to be no secret is kept.
func TestWhatIsStored(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	s := start(t, p, session.Options{StoreEnv: []string{"A"}, StoreExtra: true, Create: compute.CreateSandboxOptions{
		Env: map[string]string{"A": "a", "B": "b"}, Extra: []compute.ProviderOptions{nil, &extra{Size: 7}}}})
	st := carry(t, s.State())
	assert.Equal(t, map[string]string{"A": "a"}, st.Recipe.Env)
	assert.Equal(t, []string{"B"}, st.Recipe.Secrets)
	assert.Equal(t, []session.Extra{{Provider: "other", Type: "session_test.extra", Value: json.RawMessage(`{"Size":7}`)}}, st.Recipe.Extra)
	require.NoError(t, s.Close(t.Context()))

	var got []compute.ProviderOptions
	c := compute.Intercept(p, func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
		if o, ok := op.Arg.(*compute.CreateSandboxOptions); ok {
			got = o.Extra
		}
		return next(ctx)
	})
	_, err := session.Resume(t.Context(), c, st, session.ResumeOptions{AllowRemake: true, Secret: secret2, Extra: []compute.ProviderOptions{extra{Size: 1}}})
	require.NoError(t, err)
	assert.Equal(t, []compute.ProviderOptions{extra{Size: 7}}, got, "the stored value, as the type that was given")
}

func secret2(context.Context, string) (string, error) { return "b", nil }

func TestOptionsOfStart(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	for name, test := range map[string]struct {
		opts session.Options
		says string
	}{
		"a variable that is not there": {session.Options{StoreEnv: []string{"A"}}, `StoreEnv names "A"`},
		"a label of the session's":     {session.Options{Create: compute.CreateSandboxOptions{Metadata: map[string]string{session.Label: "x"}}}, "the session's own"},
		"an unknown exit":              {session.Options{OnExit: "x"}, `"x" is not known`},
		"a URL with a password":        {session.Options{Create: compute.CreateSandboxOptions{Code: []compute.CodeMount{{URL: "https://x:y@example.com"}}}}, "option Code[0].URL has credentials"},
		"options that JSON drops": {session.Options{StoreExtra: true, Create: compute.CreateSandboxOptions{Extra: []compute.ProviderOptions{extra{Func: func() {}}}}},
			"session_test.extra for provider other cannot be stored"},
	} {
		_, err := session.Start(t.Context(), p, test.opts)
		require.ErrorIs(t, err, compute.ErrInvalid, name)
		assert.ErrorContains(t, err, test.says, name)
		assert.Empty(t, boxes(t, p), name)
	}
}

// checkout is a provider that takes repositories, and notes them.
type checkout struct {
	compute.Compute
	got []compute.CodeMount
}

func (c *checkout) CreateSandbox(ctx context.Context, o *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	own := *o
	c.got, own.Code = own.Code, nil
	return c.Compute.CreateSandbox(ctx, &own)
}

// The token of a repository is kept by name, and asked for again.
func TestCodeToken(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	c := &checkout{Compute: p}
	code := []compute.CodeMount{{URL: "https://example.com/x", Token: canary}, {URL: "https://example.com/y", Ref: "main"}}
	s := start(t, c, session.Options{Create: compute.CreateSandboxOptions{Code: code}})
	assert.Equal(t, code, c.got)
	assert.Equal(t, canary, code[0].Token, "the caller's options are as they were")
	assert.NotContains(t, fmt.Sprintf("%+v", *s.State()), canary)
	st := carry(t, s.State())
	assert.Equal(t, []string{"code:https://example.com/x"}, st.Recipe.Secrets)
	require.NoError(t, s.Close(t.Context()))
	_, err := session.Resume(t.Context(), c, st, session.ResumeOptions{AllowRemake: true, Secret: func(_ context.Context, name string) (string, error) {
		assert.Equal(t, "code:https://example.com/x", name)
		return canary, nil
	}})
	require.NoError(t, err)
	assert.Equal(t, code, c.got)
}
