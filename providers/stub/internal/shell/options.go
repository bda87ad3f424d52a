package shell

import (
	"fmt"
	"strings"
)

// options are those of set and shopt.
type options struct {
	errexit, nounset, xtrace, noglob, noexec, noclobber, allexport, verbose bool
	pipefail, monitor, posix                                                bool

	nullglob, dotglob, globstar, nocaseglob, extglob bool
}

// byName is the option of set -o or shopt; nil if there is none.
func (o *options) byName(name string) *bool {
	switch name {
	case "errexit":
		return &o.errexit
	case "nounset":
		return &o.nounset
	case "xtrace":
		return &o.xtrace
	case "noglob":
		return &o.noglob
	case "noexec":
		return &o.noexec
	case "noclobber":
		return &o.noclobber
	case "allexport":
		return &o.allexport
	case "pipefail":
		return &o.pipefail
	}
	return o.minor(name)
}

func (o *options) minor(name string) *bool {
	switch name {
	case "verbose":
		return &o.verbose
	case "monitor", "notify", "hashall", "braceexpand":
		return &o.monitor
	case "posix":
		return &o.posix
	}
	return nil
}

func (o *options) shopt(name string) *bool {
	switch name {
	case "nullglob":
		return &o.nullglob
	case "dotglob":
		return &o.dotglob
	case "globstar":
		return &o.globstar
	case "nocaseglob":
		return &o.nocaseglob
	case "extglob":
		return &o.extglob
	}
	return nil
}

const optionLetters = "aCefmnuvx"

func (o *options) byLetter(c byte) *bool {
	switch c {
	case 'a':
		return &o.allexport
	case 'C':
		return &o.noclobber
	case 'e':
		return &o.errexit
	case 'f':
		return &o.noglob
	case 'm', 'b', 'h':
		return &o.monitor
	case 'n':
		return &o.noexec
	case 'u':
		return &o.nounset
	case 'v':
		return &o.verbose
	case 'x':
		return &o.xtrace
	}
	return nil
}

func (o *options) letters() string {
	var b strings.Builder
	for i := range len(optionLetters) {
		if *o.byLetter(optionLetters[i]) {
			b.WriteByte(optionLetters[i])
		}
	}
	return b.String()
}

// parse reads the options that args begin with, and returns what follows; ok
// is whether "--" or an operand was seen, so that the parameters change.
func (o *options) parse(args []string) (rest []string, ok bool, err error) {
	for len(args) > 0 {
		a := args[0]
		switch {
		case a == "--":
			return args[1:], true, nil
		case a == "-" || len(a) < 2 || a[0] != '-' && a[0] != '+':
			return args, true, nil
		}
		args = args[1:]
		if args, err = o.cluster(a, args); err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

func (o *options) cluster(a string, args []string) ([]string, error) {
	on := a[0] == '-'
	for i := 1; i < len(a); i++ {
		p := o.byLetter(a[i])
		if a[i] == 'o' {
			if len(args) == 0 {
				return nil, fmt.Errorf("-o: argument expected")
			}
			p, args = o.byName(args[0]), args[1:]
		}
		if p == nil {
			return nil, fmt.Errorf("illegal option %s", a)
		}
		*p = on
	}
	return args, nil
}

func setBuiltin(sh *shell, args []string) int {
	if len(args) == 1 {
		sh.listVars(sh.stdout(), "", false)
		return 0
	}
	rest, replace, err := sh.opts.parse(args[1:])
	if err != nil {
		sh.errorf("set: %v", err)
		sh.flow = exiting
		return 2
	}
	if replace {
		sh.params = rest
	}
	sh.configure()
	return 0
}

func shoptBuiltin(sh *shell, args []string) int {
	on, query := true, len(args) < 2
	status := 0
	for _, a := range args[1:] {
		switch a {
		case "-s":
			continue
		case "-u":
			on = false
			continue
		case "-q":
			query = true
			continue
		}
		p := sh.opts.shopt(a)
		switch {
		case p == nil:
			sh.errorf("shopt: %s: not supported", a)
			status = 1
		case query:
			status |= oneIf(!*p)
		default:
			*p = on
		}
	}
	sh.configure()
	return status
}
