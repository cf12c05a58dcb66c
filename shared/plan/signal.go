package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// lastSignal is Linux's SIGRTMAX; firstRealtime its SIGRTMIN as the C library
// shows it.
const (
	lastSignal    = 64
	firstRealtime = 34
)

// checkSignal accepts a signal's number, or its name with or without SIG.
func checkSignal(s string) error {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 1 || n > lastSignal {
			return fmt.Errorf("signal %d is not between 1 and %d", n, lastSignal)
		}
		return nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if slices.Contains(strings.Fields(signals), name) {
		return nil
	}
	for prefix, sign := range map[string]string{"RTMIN": "+", "RTMAX": "-"} {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if rest == "" {
			return nil
		}
		offset, signed := strings.CutPrefix(rest, sign)
		if n, err := strconv.ParseUint(offset, 10, 8); signed && err == nil && n <= lastSignal-firstRealtime {
			return nil
		}
	}
	return fmt.Errorf("signal %q is not known", s)
}

// signals are Linux's, without SIG.
const signals = `ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF
	PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ`
