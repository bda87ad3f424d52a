package remote

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/computekit/compute"
)

func TestNews(t *testing.T) {
	for _, tt := range []struct {
		text string
		kind error
		want string
	}{
		{`compute: local: create sandbox: invalid argument: Ports[0] must be at least 1`, compute.ErrInvalid, "Ports[0] must be at least 1"},
		{`compute: request: quota exceeded: there are 2 sandboxes, as many as allowed`, compute.ErrQuota, "there are 2 sandboxes, as many as allowed"},
		{`compute: local: get sandbox "a": not found`, compute.ErrNotFound, ""},
		{"provider unavailable", compute.ErrUnavailable, ""},
		{"Sandbox a not found", compute.ErrNotFound, "Sandbox a not found"},
		{"options.timeout must be at most 1", compute.ErrInvalid, "options.timeout must be at most 1"},
		{"compute: wait: context deadline exceeded", nil, "wait: context deadline exceeded"},
		{"", compute.ErrQuota, ""},
	} {
		assert.Equal(t, tt.want, news(tt.text, tt.kind), tt.text)
	}
}
