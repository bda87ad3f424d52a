package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/computekit/compute"
)

// Extra stands for one of [compute.CreateSandboxOptions].Extra in a [State]. A
// sandbox can only be made again when [ResumeOptions].Extra has options of the
// same type: they are taken as they are, or with Value.
type Extra struct {
	Provider string          `json:"provider"`
	Type     string          `json:"type"`            // such as "runloop.CreateOptions"
	Value    json.RawMessage `json:"value,omitempty"` // if they were to be stored
}

// typeName is the name of the options' type, whether or not they are a pointer.
func typeName(o compute.ProviderOptions) string {
	t := reflect.TypeOf(o)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.String()
}

// describe makes of a provider's options what is kept of them.
func describe(op string, all []compute.ProviderOptions, store bool) ([]Extra, error) {
	var kept []Extra
	for _, o := range all {
		if o == nil {
			continue
		}
		e := Extra{Provider: o.ForProvider(), Type: typeName(o)}
		if store {
			var err error
			if e.Value, err = cross(o); err != nil {
				return nil, fail(op, "", "", compute.ErrInvalid, "option Extra: %s for provider %s cannot be stored: %w; without StoreExtra it is given again to Resume",
					e.Type, e.Provider, err)
			}
		}
		kept = append(kept, e)
	}
	return kept, nil
}

// cross makes JSON of options, and makes sure that it is all of them and holds
// nothing that is called a secret.
func cross(o compute.ProviderOptions) (json.RawMessage, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("it cannot become JSON") // what json says may quote values
	}
	back, err := decodeLike(o, data)
	if err != nil || !reflect.DeepEqual(deref(back), deref(o)) {
		return nil, fmt.Errorf("it is not the same after JSON")
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return nil, err
	}
	if field := secretField(tree, ""); field != "" {
		return nil, fmt.Errorf("its field %s is a secret", field)
	}
	return data, nil
}

// secretField finds a field that has a token or password in it.
func secretField(tree any, at string) string {
	switch v := tree.(type) {
	case map[string]any:
		for name, field := range v {
			if text, ok := field.(string); ok && text != "" && isSecretName(name) {
				return at + name
			}
			if found := secretField(field, at+name+"."); found != "" {
				return found
			}
		}
	case []any:
		for _, element := range v {
			if found := secretField(element, at); found != "" {
				return found
			}
		}
	}
	return ""
}

func isSecretName(name string) bool {
	name = strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	for _, ending := range []string{"token", "password", "apikey", "privatekey"} {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}

func deref(o compute.ProviderOptions) any {
	v := reflect.ValueOf(o)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v.Interface()
}

// decodeLike decodes options of the type that o has.
func decodeLike(o compute.ProviderOptions, data []byte) (compute.ProviderOptions, error) {
	t := reflect.TypeOf(o)
	pointer := t.Kind() == reflect.Pointer
	if pointer {
		t = t.Elem()
	}
	v := reflect.New(t)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v.Interface()); err != nil {
		return nil, err
	}
	if !pointer {
		v = v.Elem()
	}
	own, _ := v.Interface().(compute.ProviderOptions)
	return own, nil
}

// assemble makes options again: of what was stored and of what was given anew.
func assemble(op string, kept []Extra, given []compute.ProviderOptions) ([]compute.ProviderOptions, error) {
	var all []compute.ProviderOptions
	for _, e := range kept {
		like := find(given, e)
		if like == nil {
			return nil, fail(op, "", "", compute.ErrInvalid,
				"the sandbox was made with a %s for provider %s: give one in ResumeOptions.Extra", e.Type, e.Provider)
		}
		if len(e.Value) > 0 {
			var err error
			if like, err = decodeLike(like, e.Value); err != nil {
				return nil, fail(op, "", "", compute.ErrInvalid, "the state's %s for provider %s is not one of this program's", e.Type, e.Provider)
			}
		}
		all = append(all, like)
	}
	return all, nil
}

func find(given []compute.ProviderOptions, e Extra) compute.ProviderOptions {
	for _, o := range given {
		if o != nil && o.ForProvider() == e.Provider && typeName(o) == e.Type {
			return o
		}
	}
	return nil
}
