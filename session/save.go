package session

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/computekit/compute"
)

// maxState bounds a saved state, in bytes; minKey a key.
const (
	maxState = 16 << 20
	minKey   = 32
)

// saved is what [Save] writes.
type saved struct {
	State     json.RawMessage `json:"state"`
	Signature []byte          `json:"signature,omitempty"`
}

// signed begins what is signed, so that a signature of something else made with
// the same key is none of a state.
const signed = "compute session state\n"

// Save writes s as JSON, for any store that keeps JSON: its meaning counts, not
// its spaces and the order of its fields. With a key, of 32 bytes at least, it
// is signed by HMAC-SHA-256; a nil key leaves it unsigned, and then whoever can
// write to the store says which sandbox is used and what is put into it. It is
// not encrypted, and needs not be: it holds no secrets.
func Save(w io.Writer, s *State, key []byte) error {
	const op = "save session"
	if err := checkKey(op, key); err != nil {
		return err
	}
	if err := s.validate(op); err != nil {
		return err
	}
	state, err := json.Marshal(s)
	switch {
	case err != nil:
	case len(state) > maxState:
		err = fmt.Errorf("it has %d bytes, and the most is %d", len(state), maxState)
	case replaced(state):
		err = errors.New("it has text that is not UTF-8")
	default:
		state, err = canonical(state)
	}
	if err != nil {
		return fail(op, s.Provider, s.SandboxID, compute.ErrInvalid, "it cannot be kept: %w", err)
	}
	out := saved{State: state}
	if key != nil {
		out.Signature = sign(state, key)
	}
	data, err := json.Marshal(out)
	if err != nil {
		return fail(op, s.Provider, s.SandboxID, compute.ErrInvalid, "it cannot be kept: %w", err)
	}
	if len(data) > maxState {
		return fail(op, s.Provider, s.SandboxID, compute.ErrInvalid, "it has %d bytes, and the most is %d", len(data), maxState)
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// Load reads what [Save] has written. The key must be the one that it was
// signed with, and nil if it was not signed: a signature that is missing, not
// looked at, or not that of the content is an error matching [ErrSignature]. An
// older state of the same session has a good signature too. Versions and fields
// that are not known, and more than 16 MiB, are errors matching
// [compute.ErrInvalid].
func Load(r io.Reader, key []byte) (*State, error) {
	const op = "load session"
	if err := checkKey(op, key); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(r, maxState+2))
	if err != nil {
		return nil, &compute.Error{Op: op, Err: err}
	}
	if len(data) > maxState+1 {
		return nil, fail(op, "", "", compute.ErrInvalid, "it has more than %d bytes", maxState)
	}
	var in saved
	if err := strict(data, &in); err != nil {
		return nil, fail(op, "", "", compute.ErrInvalid, "it is not what Save writes")
	}
	state, err := canonical(in.State)
	if err != nil {
		return nil, fail(op, "", "", compute.ErrInvalid, "it is not what Save writes")
	}
	if err := verify(op, state, in.Signature, key); err != nil {
		return nil, err
	}
	return decode(op, state)
}

// decode reads what was verified, and nothing else.
func decode(op string, state []byte) (*State, error) {
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(state, &head); err != nil {
		return nil, fail(op, "", "", compute.ErrInvalid, "it has no version")
	}
	if head.Version != version {
		return nil, fail(op, "", "", compute.ErrInvalid, "version %d is not known; this program knows %d", head.Version, version)
	}
	s := &State{}
	if err := strict(state, s); err != nil {
		return nil, fail(op, "", "", compute.ErrInvalid, "it has a field that is not known, or of another type: %w", err)
	}
	if err := s.validate(op); err != nil {
		return nil, err
	}
	return s, nil
}

func checkKey(op string, key []byte) error {
	if key != nil && len(key) < minKey {
		return fail(op, "", "", compute.ErrInvalid, "the key has %d bytes, and must have %d at least", len(key), minKey)
	}
	return nil
}

func sign(state, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(signed))
	mac.Write(state)
	return mac.Sum(nil)
}

func verify(op string, state, signature, key []byte) error {
	var why string
	switch {
	case key == nil && len(signature) == 0:
		return nil
	case key == nil:
		why = "it is signed; give the key"
	case len(signature) == 0:
		why = "it is not signed"
	case hmac.Equal(signature, sign(state, key)):
		return nil
	default:
		why = "it was changed, or signed with another key"
	}
	return &compute.Error{Op: op, Kind: compute.ErrInvalid, Err: fmt.Errorf("%w: %s", ErrSignature, why)}
}

// canonical returns JSON in the one form that all its spellings have. What was
// said twice is there once.
func canonical(data []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	if _, ok := tree.(map[string]any); !ok {
		return nil, errors.New("not an object")
	}
	return json.Marshal(tree)
}

// strict decodes one value, all of whose fields are known.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one value")
	}
	return nil
}

// validate reports whether s is a state that Save may write.
func (s *State) validate(op string) error {
	bad := func(format string, args ...any) error { return fail(op, "", "", compute.ErrInvalid, format, args...) }
	switch {
	case s == nil:
		return bad("there is no state")
	case s.Version != version:
		return bad("version %d is not known; this program knows %d", s.Version, version)
	case s.Session == "" || s.Provider == "" || s.SandboxID == "":
		return bad("it names no session, provider or sandbox")
	case s.OnExit != Destroy && s.OnExit != Suspend && s.OnExit != Keep:
		return bad("onExit %q is not known", s.OnExit)
	case slices.Contains(s.Recipe.Secrets, ""):
		return bad("a secret has no name")
	}
	for _, name := range s.Recipe.Secrets {
		if _, twice := s.Recipe.Env[name]; twice {
			return bad("%q is a secret and has a value", name)
		}
	}
	for i, m := range s.Recipe.Code {
		if m.Token != "" || credentials(m.URL) {
			return bad("recipe.code[%d] has credentials", i)
		}
	}
	o := s.Recipe.plain()
	for _, name := range s.Recipe.Secrets {
		s.Recipe.give(o, name, "")
	}
	if err := o.Validate(); err != nil {
		return bad("recipe: %w", cause(err))
	}
	if err := s.Manifest.Validate(); err != nil {
		return bad("manifest: %w", cause(err))
	}
	return nil
}

// replaced reports whether json.Marshal has put the replacement character for
// something that was not UTF-8. It escapes that one, and leaves one that was
// there before as it is.
func replaced(data []byte) bool {
	const escape = `\ufffd`
	for {
		i := bytes.IndexByte(data, '\\')
		if i < 0 || i+1 >= len(data) {
			return false
		}
		if bytes.HasPrefix(data[i:], []byte(escape)) {
			return true
		}
		data = data[i+2:] // the escaped character too: it may be a backslash
	}
}
