package cli

import "testing"

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		name      string
		cpus      int
		gibibytes uint64
		want      int
	}{
		{"as many as processors, though memory is short", 4, 2, 4},
		{"one for each gibibyte", 4, 6, 6},
		{"four for each processor", 2, 64, 8},
		{"memory is not known", 2, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := commands(c.cpus, c.gibibytes<<30); got != c.want {
				t.Errorf("commands(%d, %d GiB) = %d, want %d", c.cpus, c.gibibytes, got, c.want)
			}
		})
	}
}
