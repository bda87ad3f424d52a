//go:build !unix

package local

import "os/exec"

func confine(*exec.Cmd, bool, bool) {}

func giveAway(bool, ...string) error { return nil }

func limitFiles(*exec.Cmd) {}
