package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// parsePorts reads one word of EXPOSE, "port", "from-to" or either with
// "/protocol", as the ports that the config lists. mapped reports that the word
// also gave an address or port of the host, which an image cannot say.
func parsePorts(word string) (ports []string, mapped bool, err error) {
	rest := word
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		rest, mapped = rest[i+1:], true
	}
	numbers, proto, ok := strings.Cut(rest, "/")
	if !ok || proto == "" {
		proto = "tcp"
	}
	proto = strings.ToLower(proto)
	switch proto {
	case "tcp", "udp", "sctp":
	default:
		return nil, false, fmt.Errorf("port %q: the protocol is none of tcp, udp and sctp", word)
	}
	first, last, ranged := strings.Cut(numbers, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err != nil || err2 != nil || to < from {
		return nil, false, fmt.Errorf("port %q: not a number from 0 to 65535 or a range of them", word)
	}
	for n := from; n <= to; n++ {
		ports = append(ports, fmt.Sprintf("%d/%s", n, proto))
	}
	return ports, mapped, nil
}
