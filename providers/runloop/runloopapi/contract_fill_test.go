package runloopapi_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// filler sets every field of a value. Of a union, and of a type with constants, n says which.
type filler struct {
	constants map[string][]string // by the name of their type
	n         int
	required  bool // leave alone what a request can do without
}

// declaredConstants reads the typed string constants of the package, in order, from its source.
func declaredConstants(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	found := map[string][]string{}
	for _, name := range files {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				spec := spec.(*ast.ValueSpec)
				typeName, ok := spec.Type.(*ast.Ident)
				if !ok || len(spec.Values) != 1 {
					continue
				}
				if literal, ok := spec.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
					text, err := strconv.Unquote(literal.Value)
					require.NoError(t, err)
					found[typeName.Name] = append(found[typeName.Name], text)
				}
			}
		}
	}
	return found
}

// variants is how many values of n there are.
func (f *filler) variants() int {
	most := 0
	for _, name := range slices.Sorted(maps.Keys(f.constants)) {
		most = max(most, len(f.constants[name]))
	}
	return most
}

func (f *filler) fill(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[json.RawMessage]():
		v.SetBytes([]byte(`{"any":"thing"}`))
		return
	case reflect.TypeFor[runloopapi.AgentSource]():
		sources := []*runloopapi.AgentSource{
			runloopapi.NPMAgent(runloopapi.PackageSource{PackageName: "x", RegistryURL: "x", AgentSetup: []string{"x"}}),
			runloopapi.PipAgent(runloopapi.PackageSource{PackageName: "x", RegistryURL: "x", AgentSetup: []string{"x"}}),
			runloopapi.GitAgent(runloopapi.GitSource{Repository: "x", Ref: "x", AgentSetup: []string{"x"}}),
			runloopapi.ObjectAgent(runloopapi.ObjectSource{ObjectID: "x", AgentSetup: []string{"x"}}),
		}
		v.Set(reflect.ValueOf(*sources[f.n%len(sources)]))
		return
	case reflect.TypeFor[io.Reader]():
		v.Set(reflect.ValueOf(strings.NewReader("content")))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
		if names := f.constants[v.Type().Name()]; len(names) > 0 {
			v.SetString(names[f.n%len(names)])
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(7)
		if v.Type().Name() == "Duration" {
			v.SetInt(7e9)
		}
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Interface:
		v.Set(reflect.ValueOf("x"))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(v.Index(0))
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		key.SetString("some key")
		f.fill(value)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		f.fillStruct(v)
	default:
		panic("cannot fill a " + v.Type().String())
	}
}

func (f *filler) fillStruct(v reflect.Value) {
	if _, union := v.Type().FieldByName("Unknown"); union {
		f.fill(v.Field(f.n % (v.NumField() - 1))) // the last one is Unknown
		return
	}
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("json")
		if optional := tag == "" || strings.Contains(tag, ",omit"); f.required && optional {
			continue
		}
		f.fill(v.Field(i))
	}
	if event, ok := v.Addr().Interface().(*runloopapi.AxonPublishParams); ok && event.Origin == runloopapi.OriginSystem {
		event.Origin = runloopapi.OriginUser // the system publishes its events itself
	}
}
