//go:build !linux

package local

import "runtime"

// remedies says what to change for a tier to be available.
func remedies(i Isolation, _ string, err error) []string {
	if err == nil || i == None {
		return nil
	}
	return []string{"Linux, which this is not: this is " + runtime.GOOS}
}

func hidesProcesses() bool { return false }

func (f *Facts) fillSystem() {}
