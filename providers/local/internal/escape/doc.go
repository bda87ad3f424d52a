// Package escape is made of tests: attempts to get out of a sandbox, to harm
// the machine or the sandbox's init from inside, and to harm the program that
// uses a sandbox. SECURITY.md lists them; a test keeps the list true.
package escape
