package cli

import "testing"

func TestBytesValue(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "1024": 1024, "5B": 5, "5 b": 5, "2k": 2000, "2kB": 2000, "2KiB": 2048, "1.5MB": 1_500_000, "20GB": 20_000_000_000, "1 TiB": 1 << 40,
	} {
		var b bytesValue
		if err := b.Set(text); err != nil || int64(b) != want {
			t.Errorf("%q is %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "GB", "1XB", "1EB", "1kkB", "0.5B", "NaN", "inf", "1e300", "1 2", "9999999TB"} {
		var b bytesValue
		if err := b.Set(text); err == nil {
			t.Errorf("%q is %d", text, b)
		}
	}
}
