package runlooptest

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// maxMCP bounds a message of the Model Context Protocol, in bytes.
const maxMCP = 16 << 20

// The hub passes messages of the Model Context Protocol, over HTTP, on to the
// server that the token stands for. It hides the tools that are not allowed and
// refuses to have them called.
func (e *Emulator) routeMCPHub() {
	rt := route{op: "mcp.request", open: true, stream: true, do: e.passMCP}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		e.add(method+" "+mcpPath, rt)
	}
}

func (e *Emulator) passMCP(c *call) error {
	up, err := e.mcpUpstream(c.r)
	if err != nil {
		return err
	}
	if c.r.Method == http.MethodPost {
		body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxMCP))
		if err != nil {
			return err
		}
		body, refusal := up.checkCalls(body)
		if refusal != nil {
			return writeJSON(c.w, http.StatusOK, refusal)
		}
		c.r.Body, c.r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		c.r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.r.Header.Set("Accept-Encoding", "identity") // answers are looked into
	e.proxyTo(c.w, c.r, up, "", up.hideTools)
	return nil
}

func (e *Emulator) mcpUpstream(r *http.Request) (*upstream, error) {
	g, ok := grantOf(e.signer, tokenOf(r, prefixMCPToken), prefixMCPToken, prefixMCP)
	if !ok {
		return nil, errToken
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.admit(g)
	if err != nil {
		return nil, err
	}
	conf, err := e.mcpConfigs.get("MCP config", g.config)
	if err != nil {
		return nil, errToken
	}
	headers, err := e.customHeaders(conf.view.CustomHeaders)
	if err != nil {
		return nil, err
	}
	service, _, _ := strings.Cut(conf.view.Name, "-")
	return &upstream{
		endpoint: conf.view.Endpoint, auth: conf.view.AuthMechanism, secret: s.value, headers: headers,
		tools: conf.copyView().AllowedTools, service: service,
	}, nil
}

// allowed reports whether a tool may be used. Patterns may have the name of the
// service in front.
func (u *upstream) allowed(tool string) bool {
	for _, pattern := range u.tools {
		for _, name := range []string{tool, u.service + "." + tool} {
			if ok, err := path.Match(pattern, name); ok && err == nil {
				return true
			}
		}
	}
	return false
}

// rpc is what the hub looks at of a message. ID is kept as it is.
type rpc struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Name string `json:"name"`
	} `json:"params"`
}

type rpcError struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Error   struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// checkCalls returns the answer to a message that calls a tool that is not allowed.
// Otherwise it returns the message, with the service's name taken off the tool's.
func (u *upstream) checkCalls(body []byte) ([]byte, *rpcError) {
	refuse := func(id json.RawMessage, code int, text string) ([]byte, *rpcError) {
		e := &rpcError{Version: "2.0", ID: id}
		if len(id) == 0 {
			e.ID = json.RawMessage("null")
		}
		e.Error.Code, e.Error.Message = code, text
		return nil, e
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		return refuse(nil, -32600, "batches of messages are not supported")
	}
	var m rpc
	if err := json.Unmarshal(body, &m); err != nil {
		return refuse(nil, -32700, "the message is not the JSON that was expected")
	}
	if m.Method != "tools/call" {
		return body, nil
	}
	tool, cut := strings.CutPrefix(m.Params.Name, u.service+".")
	if !u.allowed(tool) {
		return refuse(m.ID, -32602, "the tool "+strconv.Quote(m.Params.Name)+" is not allowed")
	}
	if !cut {
		return body, nil
	}
	renamed, err := rename(body, tool)
	if err != nil {
		return refuse(m.ID, -32700, "the message is not the JSON that was expected")
	}
	return renamed, nil
}

// rename returns a call with another tool's name and everything else as it was.
func rename(body []byte, tool string) ([]byte, error) {
	var message, params map[string]json.RawMessage
	if err := json.Unmarshal(body, &message); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(message["params"], &params); err != nil {
		return nil, err
	}
	var err error
	if params["name"], err = json.Marshal(tool); err != nil {
		return nil, err
	}
	if message["params"], err = json.Marshal(params); err != nil {
		return nil, err
	}
	return json.Marshal(message)
}

// hideTools takes the tools that are not allowed out of the lists in an answer.
func (u *upstream) hideTools(resp *http.Response) error {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch mediaType {
	case "application/json":
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxMCP))
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		body = u.filterTools(body)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	case "text/event-stream":
		resp.ContentLength = -1 // it gets shorter
		resp.Header.Del("Content-Length")
		resp.Body = newLineFilter(resp.Body, func(line []byte) []byte {
			data, ok := bytes.CutPrefix(line, []byte("data:"))
			if !ok {
				return line
			}
			return append([]byte("data: "), u.filterTools(bytes.TrimSpace(data))...)
		})
	}
	return nil
}

// filterTools returns a message without the tools that are not allowed. What is
// no list of tools comes back as it is.
func (u *upstream) filterTools(body []byte) []byte {
	var message, result map[string]json.RawMessage
	var tools []json.RawMessage
	if json.Unmarshal(body, &message) != nil || json.Unmarshal(message["result"], &result) != nil ||
		json.Unmarshal(result["tools"], &tools) != nil {
		return body
	}
	kept := []string{}
	for _, t := range tools {
		var tool struct{ Name string }
		if json.Unmarshal(t, &tool) == nil && u.allowed(tool.Name) {
			kept = append(kept, string(t))
		}
	}
	result["tools"] = json.RawMessage("[" + strings.Join(kept, ",") + "]")
	message["result"] = joinObject(result)
	return joinObject(message)
}

// joinObject returns a JSON object with these fields.
func joinObject(fields map[string]json.RawMessage) json.RawMessage {
	out := []byte("{")
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			continue // a string can be encoded
		}
		out = append(append(append(out, quoted...), ':'), fields[name]...)
	}
	return append(out, '}')
}
