// Package egress lets the programs of a sandbox reach what a policy allows,
// and nothing else. A sandbox has no network; the sockets where its traffic
// arrives are served by a process outside, which decides and connects. That is
// this same program executed again, once for each sandbox whose policy allows
// something, without rights on the machine. It ends with the sandbox.
//
// Programs come by three ways: an HTTP proxy; connections of any kind, which
// the sandbox's kernel redirects; and questions for names, which are answered
// with addresses that stand for the names. So a policy is always about the
// name that a program asked for, and what that name means is found out outside
// at the moment of connecting. Addresses that are not of the public Internet
// are refused unless the policy names them as addresses.
package egress

// ProcessName is the first argument of a program that becomes the process
// outside, and ControlFd the descriptor where its orders come in.
const (
	ProcessName = "compute-egress"
	ControlFd   = 3
)
