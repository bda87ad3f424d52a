package shell

import (
	"fmt"
	"path"
)

func cd(sh *shell, args []string) int {
	args = args[1:]
	physical := false
	for len(args) > 0 && (args[0] == "-P" || args[0] == "-L" || args[0] == "--") {
		physical = args[0] == "-P" || physical && args[0] == "--"
		args = args[1:]
	}
	env := shellEnv{sh}
	to := env.Get("HOME").String()
	if len(args) > 0 {
		to = args[0]
	}
	if to == "-" {
		to = env.Get("OLDPWD").String()
		defer func() { fmt.Fprintln(sh.stdout(), sh.dir) }()
	}
	return sh.chdir(to, physical)
}

func (sh *shell) chdir(to string, physical bool) int {
	full := path.Clean(sh.path(to))
	fi, err := sh.fs.Stat(sh.path(to))
	switch {
	case to == "":
		return 0
	case err != nil:
		sh.errorf("cd: can't cd to %s: %s", to, because(err))
		return 2
	case !fi.IsDir():
		sh.errorf("cd: can't cd to %s: Not a directory", to)
		return 2
	case sh.fs.Unprivileged() && fi.Mode()&0o100 == 0:
		sh.errorf("cd: can't cd to %s: Permission denied", to)
		return 2
	}
	// Without -P the name is cleaned as text, so that "cd link/.." comes back;
	// what it means then may be another directory, or none.
	if fi, err := sh.fs.Stat(full); physical || err != nil || !fi.IsDir() {
		full, _ = sh.fs.RealPath(sh.path(to))
	}
	sh.setVar("OLDPWD", text(sh.dir))
	sh.dir = full
	sh.setVar("PWD", text(full))
	return 0
}

func pwd(sh *shell, args []string) int {
	dir := sh.dir
	if len(args) > 1 && args[1] == "-P" {
		dir, _ = sh.fs.RealPath(dir)
	}
	return sh.say(dir + "\n")
}
