package memfs

import "io"

func (h *File) readDevice(b []byte) (int, error) {
	switch string(h.node.data) {
	case "zero", "full":
		clear(b)
	case "urandom":
		h.fillRandom(b)
	default:
		return 0, io.EOF
	}
	return len(b), nil
}

// fillRandom is splitmix64: repeatable noise, of no use as a secret.
func (h *File) fillRandom(b []byte) {
	for i := range b {
		h.rand += 0x9e3779b97f4a7c15
		z := h.rand
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		b[i] = byte(z ^ z>>31) //nolint:gosec // eight bits of it
	}
}

func (h *File) writeDevice(b []byte) (int, error) {
	if string(h.node.data) == "full" {
		return 0, fail("write", h.name, ErrNoSpace)
	}
	return len(b), nil
}
