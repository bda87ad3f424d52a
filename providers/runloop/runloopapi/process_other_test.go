//go:build !unix

package runloopapi

import (
	"errors"
	"syscall"
)

func killProcess(int, syscall.Signal) error { return errors.ErrUnsupported }

func ownGroup() *syscall.SysProcAttr { return nil }
