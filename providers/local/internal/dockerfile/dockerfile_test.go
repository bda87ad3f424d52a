package dockerfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// outline writes a file down, one instruction a line.
func outline(f *File) string {
	var b strings.Builder
	for _, a := range f.Args {
		b.WriteString("global " + a.String() + "\n")
	}
	for _, s := range f.Stages {
		b.WriteString("stage " + s.Name + "=" + s.Base + "\n")
		for _, in := range s.Steps {
			b.WriteString(in.String())
			if in.IsExec() {
				b.WriteString(" exec " + strings.Join(in.Exec, "|"))
			}
			for _, h := range in.Heredocs {
				b.WriteString(" <" + h.Name + ":" + h.Content + ">")
				if h.Expand {
					b.WriteString("$")
				}
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"byte order mark and carriage returns": {"\ufeffFROM a\r\nRUN x \\\r\n  y\r\n", "stage =a\nRUN x   y\n"},
		"directives":                           {"# syntax=x\n# escape = `\nFROM a\nRUN x`\ny \\\n", "stage =a\nRUN xy \\\n"},
		"no directive after a comment":         {"# hello\n# escape=`\nFROM a\nRUN x\\\ny\n", "stage =a\nRUN xy\n"},
		"escape that is escaped":               {"FROM a\nRUN x\\\\\nRUN y\n", "stage =a\nRUN x\\\\\nRUN y\n"},
		"space after the escape":               {"FROM a\nRUN x\\  \n y\n", "stage =a\nRUN x y\n"},
		"comments are not in the middle":       {"FROM a\nRUN x # y\n  # z\nRUN \\\n# c\n\n w\n", "stage =a\nRUN x # y\nRUN w\n"},
		"flags":                                {"FROM a\nCOPY --from=b --chown='x y' --link -- --c /d\n", "stage =a\nCOPY --from=b --chown=x y --link --c /d\n"},
		"lower case, stages and arguments":     {"arg X=1\nfrom a as One\nFrom one\nrun x\n", "global ARG X=1\nstage one=a\nstage =one\nRUN x\n"},
		"json":                                 {"FROM a\nRUN [\"x\", \"y z\"]\nRUN [ \"x\" ] y\nRUN ['x']\nRUN [1]\n", "stage =a\nRUN [\"x\", \"y z\"] exec x|y z\nRUN [ \"x\" ] y\nRUN ['x']\nRUN [1]\n"},
		"here-documents":                       {"FROM a\nRUN a <<X 3<<-'Y' b\n$x\n\\\nX\n\t# y\n\tY\nRUN z\n", "stage =a\nRUN a <<X 3<<-'Y' b <X:$x\n\\\n>$ <Y:# y\n>\nRUN z\n"},
		"no here-documents":                    {"FROM a\nRUN a << X\nRUN cat <<<X\nRUN [\"a\", \"<<X\"]\nRUN \"<<X\"\nENV A=<<X\n", "stage =a\nRUN a << X\nRUN cat <<<X\nRUN [\"a\", \"<<X\"] exec a|<<X\nRUN \"<<X\"\nENV A=<<X\n"},
		"carriage returns of a here-document":  {"FROM a\r\nCOPY <<A /x\r\na\r\nA\r\nRUN it's <<A\r\n", "stage =a\nCOPY <<A /x <A:a\r\n>$\nRUN it's <<A\n"},
		"continued at the end":                 {"FROM a\nRUN x \\", "stage =a\nRUN x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse(c.text)
			require.NoError(t, err)
			assert.Equal(t, c.want, outline(f))
		})
	}
}

func TestParseFails(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		line int
		why  string
	}{
		"empty":                {"", 1, "no FROM"},
		"bad escape":           {"# escape=x\nFROM a\n", 1, "escape must be"},
		"directive twice":      {"# escape=`\n# escape=`\nFROM a\n", 2, "twice"},
		"NUL":                  {"FROM a\nRUN \x00\n", 2, "NUL"},
		"line of what goes on": {"FROM a\nRUN x \\\n y\nWHAT\n", 4, "unknown instruction WHAT"},
		"line of its begin":    {"FROM a\n\nRUN --x=1 \\\n y\n", 3, "no flag --x"},
		"open quote in a flag": {"FROM a\nCOPY --from='x y z\n", 2, "no closing '"},
		"here-document":        {"FROM a\nCOPY <<A <<B /x\nA\n", 2, "B does not end"},
		"no argument":          {"FROM a\nENV\n", 2, "needs an argument"},
		"shell in text":        {"FROM a\nSHELL sh -c\n", 2, "JSON array"},
		"flag twice":           {"FROM a\nCOPY --from=a --from=b x y\n", 2, "--from is there twice"},
		"flag without value":   {"FROM a\nCOPY --from x y\n", 2, "--from needs a value"},
		"flag that is no bool": {"FROM a\nCOPY --link=maybe x y\n", 2, `true or false, not "maybe"`},
		"no health check":      {"FROM a\nHEALTHCHECK true\n", 2, "is CMD or NONE, not TRUE"},
		"empty health check":   {"FROM a\nHEALTHCHECK CMD\n", 2, "is written HEALTHCHECK CMD"},
		"no time":              {"FROM a\nHEALTHCHECK --timeout=soon CMD x\n", 2, "--timeout=soon"},
		"no number":            {"FROM a\nHEALTHCHECK --retries=-1 CMD x\n", 2, "--retries=-1"},
		"two signals":          {"FROM a\nSTOPSIGNAL A B\n", 2, "one signal"},
		"bad name":             {"FROM a AS 1x\n", 1, "no name for a stage"},
		"too many words":       {"FROM a b\n", 1, "FROM is written"},
		"before from":          {"ENV a=b\nFROM a\n", 1, "before the first FROM"},
		"too large":            {strings.Repeat("#", MaxSize+1), 1, "larger than"},
		"too many":             {"FROM a\n" + strings.Repeat("RUN x\n", maxInstructions), maxInstructions + 1, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.text)
			de, ok := errors.AsType[*Error](err)
			require.True(t, ok, "%v", err)
			assert.Equal(t, c.line, de.Line)
			assert.Contains(t, err.Error(), c.why)
		})
	}
}

func TestExpand(t *testing.T) {
	e := Expander{Escape: '\\', Vars: Vars{"A=1", "B=two words", "E="}}
	for text, want := range map[string]string{
		"$A${B}":               "1two words",
		`'$A' "$A" \$A`:        "$A 1 $A",
		"${X:-d}${E:-d}${E-d}": "dd",
		"${A:+set}${X:+set}":   "set",
		"${B#two }":            "words",
		"${B/o/0}":             "tw0 words",
	} {
		got, err := e.Word(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	words, err := e.Words(`a "b c" $B d\ e`)
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b c", "two words", "d e"}, words)
	_, err = e.Word("${X:?needed}")
	require.ErrorContains(t, err, "needed")
	content, err := e.Content(`it's "$A"`)
	require.NoError(t, err)
	assert.Equal(t, `it's "1"`, content)
	e.Vars = Vars{"L=" + strings.Repeat("x", 100<<10)}
	for _, text := range []string{strings.Repeat("$L", 20), "${L//x/$L}", "${L//x/${L//x/12345678}}"} {
		_, err = e.Word(text)
		require.ErrorContains(t, err, "longer than", text)
	}
}

// FuzzParse reads anything: it must come to an end, with errors that name a
// line, and what it makes of variables must be bounded.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"FROM a\nRUN x\n", "# escape=`\nFROM a AS b\nCOPY --from=b <<X /x\n$y\nX\n", "ARG A=${B:-c}\nFROM $A\nENV A=$A$A \"b c\"=d\nLABEL x y\n",
		"FROM a\nRUN [\"x\"]\nONBUILD RUN y\nENV a=${b//[c/d}\n", "FROM a\nRUN <<-'E'\n\tx\n\tE\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse(text)
		if err != nil {
			de, ok := errors.AsType[*Error](err)
			if !ok || de.Line < 1 || de.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("error without a line: %v", err)
			}
			return
		}
		e := Expander{Escape: file.Escape, Vars: Vars{"a=1"}}
		for _, s := range file.Stages {
			_, _ = e.Word(s.Base)
			for _, in := range s.Steps {
				switch in.Name {
				case "ENV", "ARG", "LABEL":
					pairs, err := e.Pairs(in)
					if err != nil {
						continue
					}
					for _, p := range pairs {
						if len(p.Value) > maxValue || p.Name == "" {
							t.Fatalf("%q is %d bytes", p.Name, len(p.Value))
						}
						if in.Name == "ENV" && len(e.Vars) < 50 {
							e.Vars = e.Vars.Set(p.Name, p.Value)
						}
					}
				default:
					words, err := e.Words(in.Text)
					if total := len(strings.Join(words, "")); err == nil && total > 2*maxExpanded+len(text) {
						t.Fatalf("%d bytes of words", total)
					}
				}
			}
		}
	})
}
