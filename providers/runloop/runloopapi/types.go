package runloopapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Millis is a point in time as the service sends it: milliseconds since the Unix epoch. Zero means that there is none.
type Millis int64

// MillisOf returns t as the service counts time, and 0 for the zero time.
func MillisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Time returns the time in UTC, and the zero time for 0.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

// Ptr returns a pointer to v, for the optional fields whose zero value has a meaning of its own.
func Ptr[T any](v T) *T { return &v }

// Empty is the answer of an operation that returns nothing.
type Empty struct{}

// A variant is one possible value of a union: the name that the field "type" carries, and the value, which is a pointer.
type variant struct {
	name  string
	value any
	set   bool
}

// errUnionUnset and errUnionMany say what is wrong with a union that a caller filled in.
var (
	errUnionUnset = errors.New("none of its kinds is set")
	errUnionMany  = errors.New("more than one of its kinds is set")
)

// chosen returns the one variant that is set. The name is for the error only.
func chosen(union string, variants []variant) (variant, error) {
	var found variant
	for _, v := range variants {
		if !v.set {
			continue
		}
		if found.set {
			return variant{}, fmt.Errorf("%s: %w: %s and %s", union, errUnionMany, found.name, v.name)
		}
		found = v
	}
	if !found.set {
		return variant{}, fmt.Errorf("%s: %w", union, errUnionUnset)
	}
	return found, nil
}

// marshalUnion encodes the variant that is set with its type as the first field. A kind this package does not know
// goes out as it came in.
func marshalUnion(union string, unknown json.RawMessage, variants []variant) ([]byte, error) {
	found, err := chosen(union, variants)
	if err != nil {
		if errors.Is(err, errUnionUnset) && len(unknown) > 0 {
			return unknown, nil
		}
		return nil, err
	}
	body, err := json.Marshal(found.value)
	if err != nil {
		return nil, err
	}
	name, err := json.Marshal(found.name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Grow(len(body) + len(name) + len(`{"type":,`))
	out.WriteString(`{"type":`)
	out.Write(name)
	if len(body) > len(`{}`) {
		out.WriteByte(',')
	}
	out.Write(body[1:])
	return out.Bytes(), nil
}

// unionType returns the type that an encoded union names.
func unionType(data []byte) (string, error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return "", err
	}
	return head.Type, nil
}

// unknownType returns the type of a value that was kept as it came.
func unknownType(raw json.RawMessage) string {
	name, err := unionType(raw)
	if err != nil {
		return ""
	}
	return name
}

// isNull reports whether data is JSON's null, which leaves a value as it is.
func isNull(data []byte) bool { return bytes.Equal(bytes.TrimSpace(data), []byte("null")) }
