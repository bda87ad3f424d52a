package workspace_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/workspace"
)

// A workspace is prepared from a manifest, worked in, carried away as an
// archive, and comes back in another sandbox.
func Example() {
	var m workspace.Manifest
	err := json.Unmarshal([]byte(`{
		"version": 1,
		"root": "/workspace",
		"entries": {
			"task.md": {"type": "file", "text": "count to three\n"},
			"run.sh": {"type": "file", "mode": "0755", "text": "seq 3 >out/numbers\n"},
			"out": {"type": "dir"},
			"cache": {"type": "dir", "ephemeral": true}
		},
		"env": {"MODE": {"value": "fast"}, "TOKEN": {"secret": "api-token"}}
	}`), &m)
	if err != nil {
		log.Fatal(err)
	}
	ctx, c := context.Background(), stub.New(stub.Config{})
	secrets := func(context.Context, string) (string, error) { return "s3cr3t", nil }

	var archive bytes.Buffer
	err = compute.WithSandbox(ctx, c, nil, func(ctx context.Context, sb compute.Sandbox) error {
		report, err := workspace.Apply(ctx, sb, &m, &workspace.ApplyOptions{Secrets: secrets})
		if err != nil {
			return err
		}
		fmt.Println(report.Files, "files in", report.Root)
		before, err := workspace.TakeIndex(ctx, sb, &m)
		if err != nil {
			return err
		}
		if _, err := compute.Output(ctx, sb, &compute.Command{Script: "sh run.sh; echo x >cache/x", Dir: report.Root, Env: report.Env}); err != nil {
			return err
		}
		persisted, err := workspace.Persist(ctx, sb, &m, &archive, &workspace.PersistOptions{Compression: workspace.Zstd})
		if err != nil {
			return err
		}
		for _, change := range workspace.Diff(before, persisted.Index) {
			fmt.Println(change.Kind, change.Path)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}

	err = compute.WithSandbox(ctx, c, nil, func(ctx context.Context, sb compute.Sandbox) error {
		if _, err := workspace.Hydrate(ctx, sb, &archive, &workspace.HydrateOptions{Manifest: &m}); err != nil {
			return err
		}
		out, err := compute.Output(ctx, sb, compute.Exec("cat", "/workspace/out/numbers"))
		fmt.Print(out)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 2 files in /workspace
	// added out/numbers
	// 1
	// 2
	// 3
}
