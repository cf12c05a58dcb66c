package sbom

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// TestMarked: the mark is found wherever reads break it apart, and only the mark.
func TestMarked(t *testing.T) {
	mark := goMark()
	for _, before := range []int{0, 1, 500, 511, 512, 5000} {
		content := append(append(make([]byte, before), mark...), 0)
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(content), "half": iotest.HalfReader(bytes.NewReader(content)), "byte": iotest.OneByteReader(bytes.NewReader(content)),
		} {
			m := &marked{r: r, mark: mark}
			got, err := io.ReadAll(m)
			if err != nil || !bytes.Equal(got, content) || !m.found {
				t.Errorf("%s after %d bytes: found %v, %v", name, before, m.found, err)
			}
		}
	}
	m := &marked{r: iotest.OneByteReader(bytes.NewReader(append(mark[:len(mark)-1:len(mark)-1], ' '))), mark: mark}
	if _, err := io.ReadAll(m); err != nil || m.found {
		t.Errorf("found %v in what is not the mark, %v", m.found, err)
	}
}
