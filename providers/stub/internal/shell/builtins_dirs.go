package shell

import (
	"slices"
	"strings"
)

func pushd(sh *shell, args []string) int {
	old := sh.dir
	to := ""
	switch {
	case len(args) > 1:
		to = args[1]
	case len(sh.dirs) > 0:
		to = sh.dirs[len(sh.dirs)-1]
		sh.dirs = sh.dirs[:len(sh.dirs)-1]
	default:
		sh.errorf("pushd: no other directory")
		return 1
	}
	if code := sh.chdir(to, false); code != 0 {
		return 1
	}
	sh.dirs = append(sh.dirs, old)
	return dirsBuiltin(sh, nil)
}

func popd(sh *shell, _ []string) int {
	if len(sh.dirs) == 0 {
		sh.errorf("popd: directory stack empty")
		return 1
	}
	to := sh.dirs[len(sh.dirs)-1]
	sh.dirs = sh.dirs[:len(sh.dirs)-1]
	if code := sh.chdir(to, false); code != 0 {
		return 1
	}
	return dirsBuiltin(sh, nil)
}

func dirsBuiltin(sh *shell, _ []string) int {
	list := append(slices.Clone(sh.dirs), sh.dir)
	slices.Reverse(list)
	return sh.say(strings.Join(list, " ") + "\n")
}
