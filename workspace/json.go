package workspace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// wire is a manifest in JSON.
type wire struct {
	Version int               `json:"version"`
	Root    string            `json:"root,omitempty"`
	Entries Entries           `json:"entries,omitempty"`
	Env     map[string]EnvVar `json:"env,omitempty"`
	Users   []User            `json:"users,omitempty"`
	Groups  []string          `json:"groups,omitempty"`
	Grants  []Grant           `json:"grants,omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (m Manifest) MarshalJSON() ([]byte, error) {
	return json.Marshal(wire{Version, m.Root, m.Entries, m.Env, m.Users, m.Groups, m.Grants})
}

// UnmarshalJSON implements [json.Unmarshaler]. A version that is not
// [Version], a field or a type of entry that is not known, and a name that is
// there twice are errors that say what is known. It does not call Validate.
func (m *Manifest) UnmarshalJSON(data []byte) error {
	if err := fieldsOf("a manifest", data, "version", "root", "entries", "env", "users", "groups", "grants"); err != nil {
		return err
	}
	var version struct{ Version *int }
	if err := json.Unmarshal(data, &version); err != nil {
		return err
	}
	if version.Version == nil || *version.Version != Version {
		return fmt.Errorf("the manifest's version is not %d, the only one that is known", Version)
	}
	var w wire
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return err
	}
	*m = Manifest{w.Root, w.Entries, w.Env, w.Users, w.Groups, w.Grants}
	return nil
}

// wireEntry is an entry in JSON: the fields of all types.
type wireEntry struct {
	Type      string  `json:"type"`
	Mode      string  `json:"mode,omitempty"` // octal digits
	Owner     string  `json:"owner,omitempty"`
	Group     string  `json:"group,omitempty"`
	Ephemeral bool    `json:"ephemeral,omitempty"`
	Text      *string `json:"text,omitempty"`
	Base64    []byte  `json:"base64,omitempty"`
	Entries   Entries `json:"entries,omitempty"`
	From      string  `json:"from,omitempty"`
	Src       string  `json:"src,omitempty"`
	Host      string  `json:"host,omitempty"`
	Repo      string  `json:"repo,omitempty"`
	Ref       string  `json:"ref,omitempty"`
	Subpath   string  `json:"subpath,omitempty"`
	Volume    string  `json:"volume,omitempty"`
	Service   string  `json:"service,omitempty"`
	Bucket    string  `json:"bucket,omitempty"`
	Prefix    string  `json:"prefix,omitempty"`
	Secret    string  `json:"secret,omitempty"`
	ReadOnly  bool    `json:"readOnly,omitempty"`
}

// commonFields and kinds are what is known of each type.
var (
	commonFields = []string{"type", "mode", "owner", "group", "ephemeral"}
	kinds        = []struct {
		name   string
		fields []string
	}{
		{kindFile, []string{"text", "base64"}},
		{kindDir, []string{"entries"}},
		{kindLocalFile, []string{"from", "src"}},
		{kindLocalDir, []string{"from", "src"}},
		{kindGitRepo, []string{"host", "repo", "ref", "subpath"}},
		{kindArchive, []string{"from", "src", "base64"}},
		{kindVolume, []string{"volume", "readOnly"}},
		{kindBucket, []string{"service", "bucket", "prefix", "secret", "readOnly"}},
	}
)

// MarshalJSON implements [json.Marshaler].
func (e Entries) MarshalJSON() ([]byte, error) {
	all := make(map[string]wireEntry, len(e))
	for name, entry := range e {
		if entry == nil {
			return nil, fmt.Errorf("entry %q: nil", name)
		}
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("entry %q: JSON has no names that are not UTF-8", name)
		}
		all[name] = wireOf(entry)
	}
	return json.Marshal(all)
}

func wireOf(entry Entry) wireEntry {
	a := entry.attributes()
	w := wireEntry{Type: entry.Kind(), Owner: a.Owner, Group: a.Group, Ephemeral: a.Ephemeral}
	if a.Mode != 0 {
		w.Mode = fmt.Sprintf("%04o", uint32(a.Mode))
	}
	switch e := entry.(type) {
	case File:
		if utf8.Valid(e.Content) {
			w.Text = new(string(e.Content))
		} else {
			w.Base64 = e.Content
		}
	case Dir:
		w.Entries = e.Entries
	case LocalFile:
		w.From, w.Src = e.From, e.Src
	case LocalDir:
		w.From, w.Src = e.From, e.Src
	case GitRepo:
		w.Host, w.Repo, w.Ref, w.Subpath = e.Host, e.Repo, e.Ref, e.Subpath
	case Archive:
		w.From, w.Src, w.Base64 = e.From, e.Src, e.Content
	case Volume:
		w.Volume, w.ReadOnly = e.Volume, e.ReadOnly
	case Bucket:
		w.Service, w.Bucket, w.Prefix, w.Secret, w.ReadOnly = e.Service, e.Bucket, e.Prefix, e.Secret, e.ReadOnly
	}
	return w
}

// UnmarshalJSON implements [json.Unmarshaler].
func (e *Entries) UnmarshalJSON(data []byte) error {
	members, err := membersOf("entries", data)
	if err != nil || members == nil {
		*e = nil
		return err
	}
	*e = make(Entries, len(members))
	for _, m := range members {
		if (*e)[m.name], err = entryOf(m.value); err != nil {
			return fmt.Errorf("entry %q: %w", m.name, err)
		}
	}
	return nil
}

func entryOf(data []byte) (Entry, error) {
	var head struct {
		Type *string `json:"type"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	var names []string
	for _, k := range kinds {
		names = append(names, k.name)
		if head.Type == nil || *head.Type != k.name {
			continue
		}
		if err := fieldsOf("a "+k.name, data, slices.Concat(commonFields, k.fields)...); err != nil {
			return nil, err
		}
		var w wireEntry
		if err := json.Unmarshal(data, &w); err != nil {
			return nil, err
		}
		return w.entry()
	}
	if head.Type == nil {
		return nil, fmt.Errorf("no type; there are %s", strings.Join(names, ", "))
	}
	return nil, fmt.Errorf("unknown type %q; there are %s", *head.Type, strings.Join(names, ", "))
}

func (w *wireEntry) entry() (Entry, error) {
	a := Attributes{Owner: w.Owner, Group: w.Group, Ephemeral: w.Ephemeral}
	if w.Mode != "" {
		mode, err := strconv.ParseUint(w.Mode, 8, 32)
		if err != nil || fs.FileMode(mode)&^fs.ModePerm != 0 {
			return nil, fmt.Errorf("mode %q is not permissions in octal digits", w.Mode)
		}
		a.Mode = fs.FileMode(mode)
	}
	switch w.Type {
	case kindFile:
		if w.Text != nil && w.Base64 != nil {
			return nil, errors.New("both text and base64")
		}
		if w.Text != nil {
			return File{a, []byte(*w.Text)}, nil
		}
		return File{a, w.Base64}, nil
	case kindDir:
		return Dir{a, w.Entries}, nil
	case kindLocalFile:
		return LocalFile{a, w.From, w.Src}, nil
	case kindLocalDir:
		return LocalDir{a, w.From, w.Src}, nil
	case kindGitRepo:
		return GitRepo{a, w.Host, w.Repo, w.Ref, w.Subpath}, nil
	case kindArchive:
		return Archive{a, w.From, w.Src, w.Base64}, nil
	case kindVolume:
		return Volume{a, w.Volume, w.ReadOnly}, nil
	}
	return Bucket{a, w.Service, w.Bucket, w.Prefix, w.Secret, w.ReadOnly}, nil
}

type member struct {
	name  string
	value json.RawMessage
}

// membersOf returns what is in an object, none of it twice; nil for null.
func membersOf(what string, data []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	open, err := dec.Token()
	if err != nil || open == nil {
		return nil, err
	}
	if open != json.Delim('{') {
		return nil, fmt.Errorf("%s: not an object", what)
	}
	members, seen := []member{}, map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: fmt.Sprint(key)}
		if err := dec.Decode(&m.value); err != nil {
			return nil, err
		}
		if seen[m.name] {
			return nil, fmt.Errorf("%s: %q is there twice", what, m.name)
		}
		seen[m.name] = true
		if members = append(members, m); len(members) > MaxEntries {
			return nil, fmt.Errorf("%s: more than %d", what, MaxEntries)
		}
	}
	return members, nil
}

// fieldsOf reports a field that is not known. Package json would let other
// spellings of the known ones pass.
func fieldsOf(what string, data []byte, known ...string) error {
	members, err := membersOf(what, data)
	if err != nil {
		return err
	}
	for _, m := range members {
		if !slices.Contains(known, m.name) {
			return fmt.Errorf("%s has no field %q; there are %s", what, m.name, strings.Join(known, ", "))
		}
	}
	return nil
}
