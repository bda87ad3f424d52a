package shell

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestRefusedFlags is that flags which would be ignored are errors instead.
func TestRefusedFlags(t *testing.T) {
	for _, src := range []string{
		"rm -i f", "rm --interactive f", "rm -I f", "ls -C", "xargs -P 4 echo", "xargs -L 1", "tar -chf x .", "mkdir -v d", "rmdir -v d",
		"ln -sv a b", "tee -i f", "realpath -s .", "realpath -q .", "mktemp -q", "base64 -i", "cut -b 1 -n", "tr -t a b",
		"xxd -u", "which -a ls", "which -s ls", "id -r", "df -T", "diff -b a b", "touch -h f",
	} {
		res := script(t, testFS(t), src, "")
		assert.NotZero(t, res.code, src)
		assert.Contains(t, res.errs, "not supported", src)
		assert.Empty(t, res.out, src)
		assert.True(t, strings.HasPrefix(res.errs, strings.Fields(src)[0]+": -"), src+": "+res.errs)
	}
}

func TestHonestFlags(t *testing.T) {
	for src, want := range map[string]string{
		"echo a b | xargs -t echo 2>&1":                                         "echo a b\na b\n",
		"echo a b | xargs -P 1 echo":                                            "a b\n",
		"touch -d @5 f; touch -a f; stat -c %Y f":                               "5\n",
		"touch -d @5 f; touch -am f; test $(stat -c %Y f) -gt 5; echo $?":       "0\n",
		"touch f; ls -n f | cut -d' ' -f3,4; ls -g f | cut -d' ' -f3":           "0 0\nroot\n",
		"touch f; ls -go f | cut -d' ' -f1-3":                                   "-rw-r--r-- 1 0\n",
		"date -u -r /nope 2>/dev/null; echo $?":                                 "1\n",
		"echo old >w; printf 'a\\nb\\n' | sed -n '/b/w w'; cat w":               "b\n",
		"printf 'a\\n' | sed -n '/b/w w2'; cat w2; echo $?":                     "0\n",
		"echo a | sed 'w /none/x'; echo $?":                                     "4\n",
		"echo a | sed -n 'w /dev/full'; echo $?":                                "4\n",
		"sh missing 2>/dev/null; echo $?; bash missing 2>/dev/null; echo $?":    "2\n127\n",
		"df / | wc -l; df /none 2>&1 | tail -n 1 | cut -d: -f1":                 "2\ndf\n",
		"for i in 1 2 3 4 5 6 7 8; do mkdir -p a/b/c/d || echo no & done; wait": "",
	} {
		res := script(t, testFS(t), src, "")
		assert.Equal(t, want, res.out, src)
	}
}
