package remote

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
	"unicode/utf8"

	"github.com/computekit/compute"
)

// createOptions puts the options of a sandbox on the wire.
func createOptions(o *compute.CreateSandboxOptions) compute.RequestOptions {
	return compute.RequestOptions{
		Name: o.Name, TemplateID: o.Template, SnapshotID: o.Snapshot, Image: o.Image,
		Envs: o.Env, Metadata: o.Metadata, User: o.User,
		Timeout: milliseconds(o.Lifetime), IdleTimeoutMS: milliseconds(o.IdleTimeout),
		Resources: o.Resources, Ports: o.Ports, Network: o.Network, Mounts: o.Mounts, Code: o.Code,
	}
}

// milliseconds rounds up, so that nothing becomes zero, which is the default.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// templateOptions puts the options of a template on the wire, but for its
// context.
func templateOptions(o *compute.CreateTemplateOptions) compute.RequestOptions {
	text, binary := map[string]string{}, map[string][]byte{}
	for name, data := range o.Files {
		if utf8.ValidString(data) {
			text[name] = data
		} else {
			binary[name] = []byte(data)
		}
	}
	return compute.RequestOptions{
		Name: o.Name, Dockerfile: o.Dockerfile, Image: o.Image, BuildArgs: o.Args,
		Files: text, FilesBase64: binary, Setup: o.Setup, Launch: o.Launch, Code: o.Code, Ports: o.Ports,
		Resources: o.Resources, Envs: o.Env, Metadata: o.Metadata,
	}
}

// contextTar streams a build context as a tar archive. The goroutine that packs
// it ends when the archive is read or closed.
func contextTar(fsys fs.FS) io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		archive := tar.NewWriter(w)
		err := archive.AddFS(fsys)
		if err != nil {
			err = fmt.Errorf("build context: %w", err)
		} else {
			err = archive.Close()
		}
		_ = w.CloseWithError(err)
	}()
	return r
}

var errNotText = errors.New("text that is not UTF-8 cannot be sent to the far end")

// encode is json.Marshal for text that must arrive as it is: what is not UTF-8
// would be changed without a word.
func encode(req *compute.Request) ([]byte, error) {
	body, err := json.Marshal(req)
	if err == nil && replaced(body) {
		err = errNotText
	}
	return body, err
}

// replaced reports whether json.Marshal has put the replacement character for
// something that was not UTF-8. It escapes that one; a replacement character
// that was there before it leaves as it is.
func replaced(body []byte) bool {
	const escape = `\ufffd`
	for {
		i := bytes.IndexByte(body, '\\')
		if i < 0 || i+1 >= len(body) {
			return false
		}
		if bytes.HasPrefix(body[i:], []byte(escape)) {
			return true
		}
		body = body[i+2:] // the escaped character too: it may be a backslash
	}
}

// command puts a command on the wire, without its streams.
func command(req *compute.Request, cmd *compute.Command) *compute.Request {
	req.Command, req.Argv = cmd.Script, cmd.Args
	req.Cwd, req.Env, req.User, req.TTY, req.OpenStdin = cmd.Dir, cmd.Env, cmd.User, cmd.TTY, cmd.OpenStdin
	return req
}

// result takes a Result off the wire.
func result(r *compute.ResponseResult) *compute.Result {
	if r == nil || r.Result == nil {
		return nil
	}
	res := *r.Result
	res.Duration = time.Duration(cmp.Or(r.DurationMS, r.ExecutionTime)) * time.Millisecond
	if r.StdoutBase64 != nil {
		res.Stdout = string(r.StdoutBase64)
	}
	if r.StderrBase64 != nil {
		res.Stderr = string(r.StderrBase64)
	}
	return &res
}

var errIncomplete = errors.New("the answer lacks what was asked for")

// incomplete is the error of a success without what it should bring.
func (c *client) incomplete(do call) error {
	return c.fail(do, &compute.Error{Kind: compute.ErrUnavailable, Err: errIncomplete})
}

func sandboxInfo(c *client, do call, resp *compute.Response) (*compute.SandboxInfo, error) {
	if resp.Info == nil || resp.Info.SandboxInfo == nil {
		return nil, c.incomplete(do)
	}
	return resp.Info.SandboxInfo, nil
}
