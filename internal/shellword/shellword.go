// Package shellword writes words for shells: for the toolbox of providers, for
// the client of Runloop's API, which knows nothing of that, and for the stub's
// shell.
package shellword

import "strings"

// Quote returns s as one word for a POSIX shell, whatever is in it but a NUL
// byte, which no shell can hold.
func Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
