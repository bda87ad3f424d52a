package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/local"
)

func TestTable(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-dir", t.TempDir()}, &b))
	for _, want := range []string{"namespaces ", "landlock ", "none ", "state directory"} {
		assert.Contains(t, b.String(), want)
	}
}

func TestJSON(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-dir", t.TempDir(), "-json"}, &b))
	var report local.Report
	require.NoError(t, json.Unmarshal(b.Bytes(), &report))
	assert.NotEmpty(t, report.Tiers)
}

func TestEnough(t *testing.T) {
	r := &local.Report{Best: local.Landlock, Tiers: []local.TierReport{
		{Isolation: local.Namespaces, Reason: "refused"},
		{Isolation: local.Landlock, Available: true},
		{Isolation: local.None, Available: true},
	}}
	assert.NoError(t, enough(r, ""))
	assert.NoError(t, enough(r, local.Landlock))
	assert.NoError(t, enough(r, local.None))
	assert.ErrorContains(t, enough(r, local.Namespaces), "refused")
	assert.Error(t, enough(r, "perfect"))
}

func TestArguments(t *testing.T) {
	var b bytes.Buffer
	assert.Error(t, run(t.Context(), []string{"more"}, &b))
}
