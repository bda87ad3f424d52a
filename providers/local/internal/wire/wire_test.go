package wire

import (
	"reflect"
	"strings"
	"testing"
)

var samples = []message{
	&Request{}, &Reply{}, &Config{},
	&Request{Op: OpExec, Argv: []string{"a\x00b", "\xff", ""}, Env: []string{"A=b"}, Dir: "/d", User: "u:1", TTY: true,
		Size: Size{24, 80}, Stdin: true, ID: "7", Stream: Stderr, Offset: -1 << 62, Follow: true, Signal: -3, Path: "p", To: "t",
		Mode: 1<<32 - 1, Net: "tcp", Hold: true, EOF: true},
	&Reply{Fault: Fault{CodeDir, 2, "text"}, PID: 5, ID: "x", Done: true, Exit: Exit{1, 2, 3, 4, 5, 6, "l"}, Offset: 9,
		Entries:   []Entry{{Name: "n", Mode: 0o100644, Size: 1 << 60, MTime: -1, UID: 1, GID: 2, Link: "l"}, {}},
		Processes: []Process{{ID: "1", PID: 2, Argv: []string{"x"}, Dir: "d", TTY: true, Started: 3, Done: true, Stdout: 4, Stderr: 5}},
		Usage:     Usage{CPU: 1}, Event: Event{Text: "t"}},
	&Config{Box: "b", Layers: []string{"l"}, Trees: []Tree{{"n", "t", "h"}}, Fds: true, Hostname: "h", Env: []string{"e"}, Ranged: true, MaxProcs: 1<<64 - 1,
		Base: BaseConfig{Dir: "/w"}, Limits: LimitsConfig{Memory: 1}, Mounts: []MountConfig{{Source: "s", Target: "t", ReadOnly: true}}, Landlock: LandlockConfig{Work: "w", Home: "h", Temp: "t", Own: []string{"o"}, Run: []string{"r"}, Read: []string{"R"},
			Devices: []string{"d"}, Mark: 1 << 60, OwnUser: true}, GVisor: GVisorConfig{On: true, Restore: true}},
	&Egress{Allow: []string{"a:1", "*"}, Resolver: "r:53"},
}

func empty(m message) message { return reflect.New(reflect.TypeOf(m).Elem()).Interface().(message) }

func TestRoundTrip(t *testing.T) {
	for _, m := range samples {
		got := empty(m)
		if err := Unmarshal(Marshal(m), got); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v became %+v (%v)", m, got, err)
		}
	}
}

// No field may be forgotten in a description, or it would be dropped in
// silence: the samples set each, and a decoded zero would differ.
func TestSamplesSetEveryField(t *testing.T) {
	for _, m := range samples[3:] {
		v := reflect.ValueOf(m).Elem()
		for i := range v.NumField() {
			if v.Field(i).IsZero() && v.Field(i).Type().Size() > 0 {
				t.Errorf("%T.%s is not set", m, v.Type().Field(i).Name)
			}
		}
	}
}

func TestTruncated(t *testing.T) {
	for _, m := range samples {
		data := Marshal(m)
		for n := range data {
			if err := Unmarshal(data[:n], empty(m)); err == nil {
				t.Fatalf("%T: %d of %d bytes are enough", m, n, len(data))
			}
		}
		if err := Unmarshal(append(data, 0), empty(m)); err == nil {
			t.Errorf("%T: a byte too many", m)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, m := range samples {
		f.Add(Marshal(m))
	}
	f.Add([]byte(strings.Repeat("\xff", 30)))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range samples[:3] {
			got := empty(m)
			if Unmarshal(data, got) != nil {
				continue
			}
			again := empty(m)
			if err := Unmarshal(Marshal(got), again); err != nil || !reflect.DeepEqual(got, again) {
				t.Errorf("%+v became %+v (%v)", got, again, err)
			}
		}
	})
}
