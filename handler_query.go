package compute

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// rawAction is an action whose body, or answer, is not JSON.
type rawAction struct {
	method string
	act    action
}

var rawActions = map[string]rawAction{
	"compute.sandbox.filesystem.download": {http.MethodGet, on(download, needPath)},
	"compute.sandbox.filesystem.upload":   {http.MethodPut, on(upload, needPath)},
	"compute.sandbox.archive.get":         {http.MethodGet, on(readArchive, needPath)},
	"compute.sandbox.archive.put":         {http.MethodPut, on(writeArchive, needPath)},
	"compute.sandbox.process.stdin":       {http.MethodPut, on(onProcess(streamStdin), needProcessID)},
	"compute.sandbox.terminal.stream":     {http.MethodGet, on(onTerminal(streamTerminal), needTerminalID)},
	"compute.sandbox.terminal.connect":    {http.MethodGet, on(onTerminal(connectTerminal), needTerminalID)},
	"compute.sandbox.dial":                {http.MethodGet, on(dialSandbox, needAddress)},
	actionTemplate:                        {http.MethodPut, act(createTemplate, needName)},
	actionOpenAPI:                         {http.MethodGet, act(describeProtocol)},
}

func needAddress(r *Request) error {
	if r.Address != "" {
		return nil
	}
	return needPort(r)
}

// decodeQuery makes a request of the URL: of its parameter "request", which is
// JSON, and of those that stand for one field each.
func (h *handler) decodeQuery(r *http.Request, x *exchange) (serveFunc, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query cannot be read")
	}
	name := query.Get("action")
	for _, prefix := range []string{actionPrefix, "compute."} {
		if _, ok := rawActions[prefix+strings.TrimPrefix(name, "sandbox.")]; ok && !strings.HasPrefix(name, "compute.") {
			name = prefix + strings.TrimPrefix(name, "sandbox.")
		}
	}
	raw, ok := rawActions[name]
	if ok = ok && (name != actionOpenAPI || h.opts.OpenAPI); !ok || raw.method != r.Method && (raw.method != http.MethodGet || r.Method != http.MethodHead) {
		if h.opts.Compat == CompatD && r.Method == http.MethodGet {
			return nil, badRequest("GET requests only supported for terminal.stream action")
		}
		return nil, &requestError{status: http.StatusMethodNotAllowed, code: "method_not_allowed", msg: "Only POST requests are supported"}
	}
	if query.Has("request") {
		req, err := parseRequest([]byte(query.Get("request")), &Request{})
		if err != nil {
			return nil, err
		}
		x.req = req
	}
	if err := x.req.fill(query); err != nil {
		return nil, err
	}
	x.req.Action = name
	return func(w http.ResponseWriter, r *http.Request, x *exchange) { h.serveRaw(w, r, x, raw.act) }, nil
}

// fill takes the fields that the query has.
func (r *Request) fill(query url.Values) error {
	strs := map[string]*string{"sandboxId": &r.SandboxID, "path": &r.Path, "processId": &r.ProcessID,
		"terminalId": &r.TerminalID, "id": &r.ID, "address": &r.Address}
	var err error
	for key, values := range query {
		if len(values) > 1 {
			return badRequest("the query has %q more than once", key)
		}
		value := values[0]
		switch {
		case strs[key] != nil:
			*strs[key] = value
		case key == "port":
			r.Port, err = strconv.Atoi(value)
		case key == "mode":
			r.Mode = new(Mode)
			err = r.Mode.UnmarshalJSON([]byte(strconv.Quote(value)))
		case key == "offset":
			r.Offsets.Stdout, err = strconv.ParseInt(value, 10, 64)
			if r.Offsets.Stdout < 0 {
				err = errors.New("negative")
			}
		case key == "close":
			r.Close, err = strconv.ParseBool(value)
		}
		if err != nil {
			return badRequest("%s in the query cannot be read", key)
		}
	}
	return nil
}
