//go:build linux

package local_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// dockerCase is a Dockerfile, and what comes of it.
type dockerCase struct {
	name       string
	dockerfile string
	context    fs.FS
	args       map[string]string
	extra      local.BuildOptions

	script string // run in a sandbox of the template
	want   string // what it prints

	log  string // part of the log
	fail string // or part of the error
	kind error  // of the error
	root bool   // needs users beside root
}

func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1]), Mode: 0o644}
	}
	return m
}

func archiveOf(t testing.TB, pairs ...string) string {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for i := 0; i < len(pairs); i += 2 {
		h := &tar.Header{Name: pairs[i], Mode: 0o640, Size: int64(len(pairs[i+1])), Typeflag: tar.TypeReg}
		if strings.HasPrefix(pairs[i+1], "-> ") {
			h = &tar.Header{Name: pairs[i], Linkname: pairs[i+1][3:], Typeflag: tar.TypeSymlink}
		}
		require.NoError(t, w.WriteHeader(h))
		if h.Typeflag == tar.TypeReg {
			_, err := w.Write([]byte(pairs[i+1]))
			require.NoError(t, err)
		}
	}
	require.NoError(t, errors.Join(w.Close(), z.Close()))
	return buf.String()
}

func dockerCases(t testing.TB) []dockerCase {
	tree := files("a.txt", "A", "b.txt", "B", "dir/c.txt", "C", "dir/sub/d.txt", "D", "has space", "S")
	return []dockerCase{
		{name: "run in shell form", dockerfile: "FROM host\nRUN echo one > /f; echo two >> /f\n", script: "cat /f", want: "one\ntwo\n"},
		{name: "run in exec form", dockerfile: "FROM host\nRUN [\"touch\", \"/it's $HOME\"]\n", script: "ls /it*", want: "/it's $HOME\n"},
		{name: "continued lines with comments", dockerfile: "FROM host\nRUN echo a \\\n# a comment\n\n  b > /f\n", script: "cat /f", want: "a b\n"},
		{name: "another escape", dockerfile: "# escape=`\nFROM host\nRUN printf %s a `\n  'b\\c' > /f\nENV X=`$Y\n", script: `cat /f; printf '%s\n' "$X"`, want: "ab\\c$Y\n"},
		{name: "here-document", dockerfile: "FROM host\nRUN <<EOF\nset -e\necho \"$HOME\" > /f\necho end >> /f\nEOF\n", script: "cat /f", want: "/root\nend\n"},
		{name: "here-document for another program", dockerfile: "FROM host\nRUN perl - <<'EOF'\nopen F, '>/f'; print F 6*7;\nEOF\n", script: "cat /f", want: "42"},
		{name: "here-document with an interpreter", dockerfile: "FROM host\nRUN <<EOF\n#!/usr/bin/perl\nopen F, '>/f'; print F 'perl';\nEOF\n", script: "cat /f; ls /dev/shm", want: "perl"},
		{name: "here-document without tabs", dockerfile: "FROM host\nRUN cat > /f <<-EOF\n\tx\n\t\ty\n\tEOF\n", script: "cat /f", want: "x\ny\n"},
		{name: "here-documents as files", dockerfile: "FROM host\nENV N=you\nCOPY <<one.txt <<\"two.txt\" /d/\nhello $N\none.txt\nhello $N\ntwo.txt\n", script: "cat /d/one.txt /d/two.txt", want: "hello you\nhello $N\n"},
		{name: "env", dockerfile: "FROM host\nENV A=1 B=\"two words\" C=three\\ more\nENV D=$A$B E=${F:-def} G=${A:+set}\nENV OLD the old form\nENV A=2 H=$A\n",
			script: `echo "$A|$B|$C|$D|$E|$G|$OLD|$H"`, want: "2|two words|three more|1two words|def|set|the old form|1\n"},
		{name: "args", dockerfile: "ARG BASE=nothing\nARG V=1\nFROM $BASE\nARG V\nARG W=w$V\nARG X=x\nRUN echo $V $W $X > /f\n",
			args: map[string]string{"BASE": "host", "X": "given", "UNKNOWN": ""}, script: "cat /f; echo \"[$V]\"", want: "1 w1 given\n[]\n", log: "warning: nothing in the Dockerfile uses the argument UNKNOWN"},
		{name: "env goes over args", dockerfile: "FROM host\nARG A=arg\nENV A=env\nRUN echo $A > /f\n", args: map[string]string{"A": "given"}, script: "cat /f", want: "env\n"},
		{name: "predefined args", dockerfile: "FROM host\nARG TARGETOS\nRUN echo $TARGETOS $http_proxy > /f\n", args: map[string]string{"http_proxy": "p"}, script: "cat /f; echo \"[$http_proxy]\"", want: "linux p\n[]\n"},
		{name: "workdir", dockerfile: "FROM host\nWORKDIR /a\nWORKDIR b/c\nRUN pwd > f\n", script: "cat /a/b/c/f", want: "/a/b/c\n"},
		{name: "copy a file", dockerfile: "FROM host\nCOPY a.txt /x/y\nCOPY a.txt b.txt /z/\nCOPY a.txt /z\nCOPY [\"has space\", \"/it's\"]\n", context: tree,
			script: "cat /x/y /z/* \"/it's\"", want: "AABS"},
		{name: "copy a directory", dockerfile: "FROM host\nCOPY dir /x\nCOPY . /all/\n", context: tree, script: "cd /x; find . -type f | sort; cat /all/dir/sub/d.txt", want: "./c.txt\n./sub/d.txt\nD"},
		{name: "copy patterns", dockerfile: "FROM host\nCOPY *.txt none* d?r/c.* /x/\n", context: tree, script: "ls /x", want: "a.txt\nb.txt\nc.txt\n"},
		{name: "copy with parents", dockerfile: "FROM host\nCOPY --parents dir/*/d.txt a.txt /x/\n", context: tree, script: "cd /x; find . -type f | sort", want: "./a.txt\n./dir/sub/d.txt\n"},
		{name: "copy with exclude", dockerfile: "FROM host\nCOPY --exclude=**/sub --exclude=*.txt . /x/\n", context: tree, script: "cd /x; find . -type f | sort", want: "./dir/c.txt\n./has space\n"},
		{name: "exclude is about names in the source", dockerfile: "FROM host AS s\nCOPY --exclude=*.txt dir a.txt /x/\nCOPY --exclude=*/d* --exclude=c* d* /y\nFROM host\nCOPY --from=s --exclude=*/d.txt /x /s/x/\nCOPY --from=s /x /y /t/\nCOPY --from=s --exclude=*.txt /y/e /x/sub/d.txt /u/\n",
			context: files("a.txt", "", "dir/c.txt", "", "dir/sub/d.txt", "", "dir2/e", ""), script: "cd /; find s t u -type f | sort", want: "t/e\nt/sub/d.txt\nu/e\n"},
		{name: "parents from a point on, at any depth", dockerfile: "FROM host AS s\nCOPY --parents ./src/./**/*.txt src/x/./y/*.t?t /p/\nFROM host\nCOPY --from=s --parents --exclude=q/y /p/./** /q/\nCOPY --from=s --parents --exclude=x/y /p/./**/*.txt /r/\n",
			context: files("src/a.txt", "", "src/x/b.txt", "", "src/x/y/c.txt", "", "src/x/y/n", ""), script: "cd /; find q r -type f | sort",
			want: "q/a.txt\nq/x/b.txt\nq/x/y/c.txt\nq/y/c.txt\nr/a.txt\nr/x/b.txt\nr/y/c.txt\n"},
		{name: "mode by changes", dockerfile: "FROM host\nCOPY --chmod=+x a.txt /a\nCOPY --chmod=u=rwX,go=rX . /d/\nCOPY --chmod=g+w,o= <<F /f\n\nF\n", context: tree, script: "stat -c %a /a /d/a.txt /d/dir /f", want: "755\n644\n755\n660\n"},
		{name: "copy with mode", dockerfile: "FROM host\nCOPY --chmod=750 --link a.txt /x\n", context: tree, script: "stat -c %a /x", want: "750\n"},
		{name: "copy with owner", root: true, dockerfile: "FROM host\nCOPY --chown=www-data:games a.txt /x\nCOPY --chown=7 dir /y/\n", context: tree, script: "stat -c %u:%g /x /y/sub", want: "33:60\n7:7\n"},
		{name: "user", root: true, dockerfile: "FROM host\nUSER games\nWORKDIR /g\nRUN id -u > f\nUSER 1000:7\nRUN id -g > /tmp/g\n", script: "cat /g/f /tmp/g; stat -c %U /g; id -u", want: "5\n7\ngames\n1000\n"},
		{name: "dockerignore", dockerfile: "FROM host\nCOPY . /x\n", context: files(".dockerignore", "*.txt\n!keep.txt\nsub\n# no\n", "a.txt", "", "keep.txt", "", "sub/f", "", "g", ""),
			script: "cd /x; find . -type f | sort", want: "./.dockerignore\n./g\n./keep.txt\n"},
		{name: "dockerignore with an exception below", dockerfile: "FROM host\nCOPY . /x\n", context: files(".dockerignore", "sub\n!sub/f\n.dockerignore", "sub/f", "", "sub/g", ""), script: "cd /x; find . -type f", want: "./sub/f\n"},
		{name: "add unpacks", dockerfile: "FROM host\nADD t.tgz a.txt /x/\nCOPY t.tgz /y/\n", context: files("t.tgz", archiveOf(t, "in/f", "F", "in/link", "-> /etc/passwd"), "a.txt", "A"),
			script: "cat /x/in/f /x/a.txt; readlink /x/in/link; ls /y; stat -c %a /x/in/f", want: "FA/etc/passwd\nt.tgz\n640\n"},
		{name: "stages", dockerfile: "FROM host AS one\nRUN mkdir /out && echo built > /out/f && ln -s /out/f /out/l && chmod 700 /out/f\nFROM host AS unused\nRUN false\nFROM host\nCOPY --from=one /out /in\nCOPY --from=one /out/* /single/\nRUN test ! -e /out\n",
			script: "cat /in/f; readlink /in/l; stat -c %a /in/f; cat /single/f", want: "built\n/out/f\n700\nbuilt\n"},
		{name: "a stage on a stage", dockerfile: "FROM host AS base\nENV A=1\nARG X=gone\nRUN echo 1 > /f\nFROM Base\nRUN echo \"2$X\" >> /f\n", script: "cat /f; echo $A", want: "1\n2\n1\n"},
		{name: "stages by number", dockerfile: "FROM host\nRUN echo built > /out\nFROM host\nRUN --mount=from=0,source=/out,target=/x cat /x > /y\nCOPY --from=0 /out /in\nFROM host\nRUN false\n",
			extra: local.BuildOptions{Target: "1"}, script: "cat /in /y", want: "built\nbuilt\n"},
		{name: "more for the PATH", dockerfile: "FROM host\nENV PATH=\"/app/bin:$PATH\"\nRUN mkdir -p /app/bin && ln -s /usr/bin/env /app/bin/mine && mine true\n", script: "mine echo found", want: "found\n"},
		{name: "as for Node", dockerfile: dockerfileForNode, context: files("package.json", "{}", "src/main.js", "main", ".dockerignore", "**/node_modules\n*.md\n!keep.md\n", "node_modules/old", "", "a.md", "", "keep.md", ""),
			script: "pwd; find . -type f | sort; echo $NODE_ENV; ls -d /root/.npm /tmp/pkg 2>/dev/null", want: "/app\n./dist/keep.md\n./dist/main.js\n./node_modules/m/index.js\nproduction\n"},
		{name: "as for Python, from another system", dockerfile: strings.ReplaceAll(dockerfileForPython, "\n", "\r\n"), script: "cd /app; tr -d '\\r' < all", want: "literal $PWD\nexpanded 1\npipe failed\n42\n"},
		{name: "target", dockerfile: "FROM host AS one\nRUN echo one > /f\nFROM host\nRUN false\n", extra: local.BuildOptions{Target: "one"}, script: "cat /f", want: "one\n"},
		{name: "shell", dockerfile: "FROM host\nSHELL [\"/usr/bin/perl\", \"-e\"]\nRUN open F, '>/f'; print F 'perl'\n", script: "cat /f", want: "perl"},
		{name: "removal of the host's files", dockerfile: "FROM host\nRUN rm -rf /usr/games /srv\n", script: "ls -d /usr/games /srv 2>/dev/null; echo end", want: "end\n"},
		{name: "secret", dockerfile: "FROM host\nRUN --mount=type=secret,id=s cat /run/secrets/s > /f\nRUN --mount=type=secret,id=s,env=S,target=/t test \"$S\" = hidden && cat /t > /g\nRUN --mount=type=secret,id=absent true\n",
			extra: local.BuildOptions{Secrets: map[string][]byte{"s": []byte("hidden")}}, script: "cat /f /g; ls -d /run/secrets /t 2>/dev/null; echo", want: "hiddenhidden\n"},
		{name: "tmpfs and bind", dockerfile: "FROM host\nRUN --mount=type=tmpfs,target=/scratch/deep touch /scratch/deep/f\nRUN --mount=type=bind,target=/src --mount=type=bind,source=a.txt,target=/one cat /src/b.txt /one > /f\n",
			context: tree, script: "cat /f; ls -d /scratch /src /one 2>/dev/null; echo", want: "BA\n"},
		{name: "nothing that is only for people", dockerfile: "FROM host\nMAINTAINER somebody\nSTOPSIGNAL SIGINT\nHEALTHCHECK --interval=5s CMD true\nVOLUME /v\nEXPOSE 80 90-91/tcp\nLABEL a=b \"c d\"=\"e f\"\n",
			script: "ls -d /v", want: "/v\n", log: "note: HEALTHCHECK has no effect"},
		{name: "links of the context stay inside", dockerfile: "FROM host\nCOPY out /x/\nCOPY in /y/\n", context: linkedContext(t), script: "cat /y/in; ls -A /x", fail: "Dockerfile:2: out: no such file in the context", kind: compute.ErrInvalid},

		{name: "no from", dockerfile: "RUN true\n", fail: "Dockerfile:1: RUN before the first FROM", kind: compute.ErrInvalid},
		{name: "only comments", dockerfile: "# nothing\n", fail: "there is no FROM", kind: compute.ErrInvalid},
		{name: "unknown instruction", dockerfile: "FROM host\n\nRUM true\n", fail: "Dockerfile:3: unknown instruction RUM", kind: compute.ErrInvalid},
		{name: "unknown flag", dockerfile: "FROM host\nRUN --mnt=x true\n", fail: "Dockerfile:2: RUN has no flag --mnt", kind: compute.ErrInvalid},
		{name: "command that fails", dockerfile: "FROM host\nRUN true\n\nRUN echo why >&2; exit 3\nRUN touch /f\n", fail: "Dockerfile:4: exit status 3: why"},
		{name: "missing source", dockerfile: "FROM host\nCOPY a.txt /a\nCOPY app /app\n", context: tree, fail: "Dockerfile:3: app: no such file in the context", kind: compute.ErrInvalid},
		{name: "no context", dockerfile: "FROM host\nCOPY app /app\n", fail: "Dockerfile:2: app: no such file in the context", kind: compute.ErrInvalid},
		{name: "pattern without match", dockerfile: "FROM host\nCOPY *.go /app/\n", context: tree, fail: "Dockerfile:2: *.go: no such file", kind: compute.ErrInvalid},
		{name: "several to a file", dockerfile: "FROM host\nCOPY a.txt b.txt /x\n", context: tree, fail: "Dockerfile:2: with more than one source", kind: compute.ErrInvalid},
		{name: "missing in a stage", dockerfile: "FROM host AS a\nFROM host\nCOPY --from=a /nowhere /x\n", fail: "Dockerfile:3:", kind: compute.ErrInvalid},
		{name: "remote add", dockerfile: "FROM host\nADD https://example.com/x /x\n", fail: "Dockerfile:2: ADD https://example.com/x: builds have no network", kind: errors.ErrUnsupported},
		{name: "other platform", dockerfile: "FROM --platform=linux/s390x host\n", fail: "Dockerfile:1: --platform=linux/s390x", kind: errors.ErrUnsupported},
		{name: "onbuild", dockerfile: "FROM host\nONBUILD RUN true\n", fail: "Dockerfile:2: ONBUILD", kind: errors.ErrUnsupported},
		{name: "host network", dockerfile: "FROM host\nRUN --network=host true\n", fail: "Dockerfile:2: --network=host", kind: errors.ErrUnsupported},
		{name: "mount over files", dockerfile: "FROM host\nRUN --mount=type=tmpfs,target=/etc true\n", fail: "Dockerfile:2: --mount=type=tmpfs,target=/etc: the directory has files", kind: errors.ErrUnsupported},
		{name: "required secret", dockerfile: "FROM host\nRUN --mount=type=secret,id=s,required true\n", fail: `has no "s"`, kind: compute.ErrInvalid},
		{name: "unset variable that must be", dockerfile: "FROM host\nENV A=${B:?is needed}\n", fail: "Dockerfile:2: failed to process", kind: compute.ErrInvalid},
		{name: "open here-document", dockerfile: "FROM host\nRUN <<EOF\ntrue\n", fail: "Dockerfile:2: the here-document EOF does not end", kind: compute.ErrInvalid},
		{name: "variables that grow", dockerfile: "FROM host\nENV A=0123456789012345678901234567890123456789\n" + strings.Repeat("ENV A=$A$A$A$A$A$A$A$A\n", 9), fail: "longer than", kind: compute.ErrInvalid},
		{name: "unknown user", dockerfile: "FROM host\nUSER nosuch\nRUN true\n", fail: `Dockerfile:3: the user "nosuch"`, kind: compute.ErrInvalid},
		{name: "program that is not there", dockerfile: "FROM host\nRUN [\"/no/such\"]\n", fail: "Dockerfile:2: exit status 127"},
		{name: "bad port", dockerfile: "FROM host\nEXPOSE 70000\n", fail: "Dockerfile:2: EXPOSE", kind: compute.ErrInvalid},
	}
}

// What many Dockerfiles look like.
const (
	dockerfileForNode = `# syntax=docker/dockerfile:1
ARG NODE=host
FROM ${NODE} AS deps
WORKDIR /app
COPY package.json package-lock.json* ./
RUN --mount=type=cache,target=/root/.npm,sharing=locked \
    --mount=type=bind,source=package.json,target=/tmp/pkg \
    # as npm ci would
    test -s /tmp/pkg && mkdir -p node_modules/m && echo m > node_modules/m/index.js

FROM deps AS build
COPY . .
RUN mkdir dist && mv src/main.js *.md dist/

FROM ${NODE}
LABEL org.opencontainers.image.title="an application" \
      maintainer='me <me@example.com>'
ENV NODE_ENV=production \
    PATH=/app/bin:$PATH
WORKDIR /app
COPY --from=deps --link /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
EXPOSE 3000/tcp
HEALTHCHECK --interval=30s --timeout=3s --retries=3 CMD curl -f http://localhost:3000/ || exit 1
ENTRYPOINT ["node", "dist/main.js"]
CMD ["--port", "3000"]
`
	dockerfileForPython = `FROM host AS builder
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=off
WORKDIR /build
COPY <<"one.txt" <<two.txt ./
literal $PWD
one.txt
expanded ${PYTHONUNBUFFERED}
two.txt
RUN false | true || echo "pipe failed" > three.txt
RUN echo $((6 * 7)) > \
    # the answer

    four.txt
FROM host
COPY --from=builder /build/ /app/
RUN cd /app && cat one.txt two.txt three.txt four.txt > all
`
)

// linkedContext is a directory with a link that leads out of it.
func linkedContext(t testing.TB) fs.FS {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/real", []byte("real"), 0o600))
	require.NoError(t, os.Symlink("real", dir+"/in"))
	require.NoError(t, os.Symlink("/etc/hostname", dir+"/out"))
	return os.DirFS(dir)
}

func TestDockerfiles(t *testing.T) {
	p := pruned(t, newLocal(t, t.TempDir(), local.Namespaces))
	for _, c := range dockerCases(t) {
		t.Run(c.name, func(t *testing.T) {
			if c.root && os.Geteuid() != 0 {
				t.Skip("sandboxes of an ordinary user have root only")
			}
			checkDockerfile(t, p, c)
		})
	}
}

func checkDockerfile(t *testing.T, p *local.Provider, c dockerCase) {
	var log bytes.Buffer
	tpl, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Dockerfile: c.dockerfile, Context: c.context,
		Args: c.args, Log: &log, Extra: []compute.ProviderOptions{c.extra}})
	if c.fail != "" {
		require.ErrorContains(t, err, c.fail)
		if c.kind != nil {
			require.ErrorIs(t, err, c.kind)
		} else {
			exit, ok := errors.AsType[*compute.ExitError](err)
			require.True(t, ok, "%v is no ExitError", err)
			assert.NotZero(t, exit.ExitCode)
		}
		left, err := compute.Collect(p.ListTemplates(t.Context(), nil), 0)
		require.NoError(t, err)
		assert.Empty(t, left, "a template that failed is there")
		return
	}
	require.NoError(t, err, log.String())
	defer func() { require.NoError(t, p.DeleteTemplate(t.Context(), tpl.ID)) }()
	assert.Contains(t, log.String(), c.log)
	require.NoError(t, compute.WithSandbox(t.Context(), p, &compute.CreateSandboxOptions{Template: tpl.ID}, func(ctx context.Context, sb compute.Sandbox) error {
		res, err := sb.RunCommand(ctx, compute.Shell(c.script))
		if err == nil {
			assert.Equal(t, c.want, res.Stdout, res.Stderr)
		}
		return err
	}))
}

func TestDockerfileFromScratch(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	prog := files("prog", string(staticProgram(t)), "text", "text")
	tpl, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Context: prog, Dockerfile: "FROM scratch AS build\nCOPY --chmod=755 prog /bin/\nFROM scratch\nWORKDIR /w\nCOPY --from=build /bin/prog /x/\nCOPY text .\n"})
	require.NoError(t, err)
	require.NoError(t, compute.WithSandbox(t.Context(), p, &compute.CreateSandboxOptions{Template: tpl.ID}, func(ctx context.Context, sb compute.Sandbox) error {
		res, err := sb.RunCommand(ctx, compute.Exec("/x/prog"))
		require.NoError(t, err)
		assert.Equal(t, "static\n", res.Stdout)
		data, err := sb.Filesystem().ReadFile(ctx, "text")
		assert.Equal(t, "text", string(data), "names start in WORKDIR")
		there, err2 := compute.Exists(ctx, sb.Filesystem(), "/usr/bin/env")
		assert.False(t, there, "this machine's programs are in it")
		return errors.Join(err, err2)
	}))
	_, err = p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Dockerfile: "FROM scratch\nRUN true\n"})
	require.ErrorContains(t, err, "Dockerfile:2: exit status 127: /bin/sh: not found")
	_, err = p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Context: prog, Dockerfile: "FROM scratch AS a\nCOPY --chmod=755 prog /\nRUN [\"/prog\"]\n" +
		"FROM scratch\nCOPY --from=a / /\n"})
	require.ErrorContains(t, err, ": Dockerfile:3: exit status 7: static")
	require.NotContains(t, err.Error(), "Dockerfile:5")
}

// oneImage finds one image.
type oneImage struct{ layer string }

func (i oneImage) ResolveImage(_ context.Context, ref string) (*local.ResolvedImage, error) {
	if ref != "example/image:1" {
		return nil, compute.ErrNotFound
	}
	sum := sha256.Sum256([]byte(i.layer))
	return &local.ResolvedImage{Config: local.ImageConfig{Env: []string{"A=image"}, WorkingDir: "/d", Cmd: []string{"/bin/prog"}},
		Layers: []local.ImageLayer{{DiffID: "sha256:" + hex.EncodeToString(sum[:]), Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(i.layer)), nil
		}}}}, nil
}

func TestDockerfileFromImage(t *testing.T) {
	layer := archive(t, entry{name: "bin/prog", content: string(staticProgram(t)), mode: 0o755}, entry{name: "d/f", content: "of the image"})
	p := newWith(t, local.Config{Dir: t.TempDir(), Images: oneImage{string(layer)}})
	tpl, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Dockerfile: "FROM example/image:1 AS i\nFROM host\n" +
		"COPY --from=example/image:1 /bin/prog /usr/local/bin/\nCOPY --from=i /d/f /f\nRUN prog > /g || true\n"})
	require.NoError(t, err)
	assert.Equal(t, "of the imagestatic\n", inTemplate(t, p, compute.CreateSandboxOptions{Template: tpl.ID}, "cat /f /g"))
	tpl, err = p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "i", Image: "example/image:1"})
	require.NoError(t, err)
	config, err := p.TemplateConfig(t.Context(), tpl.ID)
	require.NoError(t, err)
	assert.Equal(t, &local.TemplateConfig{Env: map[string]string{"A": "image"}, WorkingDir: "/d", Cmd: []string{"/bin/prog"}}, config)
	_, err = p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Dockerfile: "FROM no/such\n"})
	require.ErrorIs(t, err, compute.ErrNotFound)
	require.ErrorContains(t, err, "Dockerfile:1: ")
}
