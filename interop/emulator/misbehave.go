package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// scriptHeader names the script that a request is from.
const scriptHeader = "X-Interop-Script"

// misbehaviour is one promise broken for one script, whose test of that name must
// notice. Scripts and their tests are read by prove.mjs from the answer to
// GET /interop/misbehaviours.
type misbehaviour struct {
	Script string `json:"script"`
	Test   string `json:"test"` // the test that must fail, and no other
	What   string `json:"what"`

	path  *regexp.Regexp // of "METHOD /path"
	spoil func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

// misbehaving is h with every misbehaviour, each for the requests of its script.
func misbehaving(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /interop/misbehaviours", func(w http.ResponseWriter, _ *http.Request) { answer(w, misbehaviours) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		for _, m := range misbehaviours {
			if m.Script == r.Header.Get(scriptHeader) && m.path.MatchString(r.Method+" "+r.URL.Path) {
				m.spoil(w, r, h)
				return
			}
		}
		h.ServeHTTP(w, r)
	})
	return mux
}

// answered is an answer that is not sent yet.
type answered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answered) Header() http.Header         { return a.header }
func (a *answered) Write(b []byte) (int, error) { return a.body.Write(b) }
func (a *answered) WriteHeader(status int)      { a.status = status }

// send sends the answer with another body.
func (a *answered) send(w http.ResponseWriter, body []byte) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.header.Get("Content-Length") != "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // the script sees a cut answer
}

// body changes the bodies of answers that are no errors.
func body(change func([]byte) []byte) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a := &answered{header: http.Header{}, status: http.StatusOK}
		next.ServeHTTP(a, r)
		if a.status != http.StatusOK {
			a.send(w, a.body.Bytes())
			return
		}
		a.send(w, change(a.body.Bytes()))
	}
}

// object changes answers that are JSON objects.
func object(change func(map[string]any)) func(http.ResponseWriter, *http.Request, http.Handler) {
	return body(func(b []byte) []byte {
		var v map[string]any
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.UseNumber()
		if dec.Decode(&v) != nil {
			return b
		}
		change(v)
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // it was decoded just now
		}
		return b
	})
}

// set sets a field of answers, named by its path with dots.
func set(field string, value any) func(http.ResponseWriter, *http.Request, http.Handler) {
	names := strings.Split(field, ".")
	return object(func(v map[string]any) {
		for _, name := range names[:len(names)-1] {
			v, _ = v[name].(map[string]any)
		}
		if v != nil {
			v[names[len(names)-1]] = value
		}
	})
}

// query changes what is asked for.
func query(name, value string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		r = r.Clone(r.Context())
		q := r.URL.Query()
		q.Set(name, value)
		r.URL.RawQuery = q.Encode()
		next.ServeHTTP(w, r)
	}
}

// status answers with one status in place of another.
func status(from, to int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		a := &answered{header: http.Header{}, status: http.StatusOK}
		next.ServeHTTP(a, r)
		if a.status == from {
			a.status = to
		}
		a.send(w, a.body.Bytes())
	}
}
