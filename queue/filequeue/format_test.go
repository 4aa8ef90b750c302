package filequeue

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestTicketName(t *testing.T) {
	last := ""
	for _, number := range []int64{0, 1, 9, 10, 1 << 40, maxNumber - 1, maxNumber} {
		name, err := newTicketName(number)
		if err != nil {
			t.Fatal(err)
		}
		parsed, ok := parseTicketName(name)
		if !ok || parsed != (ticketName{number: number, pid: os.Getpid()}) {
			t.Errorf("%q is parsed as %+v, %v", name, parsed, ok)
		}
		if name <= last {
			t.Errorf("%q sorts before %q", name, last)
		}
		last = name
	}
}

// FuzzTicketName: nothing makes the parser panic, and what it accepts can be
// put together again from its parts.
func FuzzTicketName(f *testing.F) {
	name, _ := newTicketName(1)
	f.Add(name)
	f.Add("00000000000000000000.1.0123456789abcdef0123456789abcdef")
	f.Add("00000000000000000001.1.")
	for _, near := range []string{
		"00000000000000000001.+1.", "00000000000000000001.01.", "00000000000000000001.-1.", "00000000000000000001.0.",
		"-0000000000000000001.1.", "+0000000000000000001.1.", "00009007199254740992.1.", "00000000000000000001.1..",
	} {
		f.Add(near + "0123456789abcdef0123456789abcdef")
	}
	f.Add("00000000000000000001.1.0123456789ABCDEF0123456789abcdef")
	f.Add("00000000000000000001.1.0123456789abcdeg0123456789abcdef")
	f.Fuzz(func(t *testing.T, name string) {
		parsed, ok := parseTicketName(name)
		if !ok {
			return
		}
		if parsed.number > maxNumber || parsed.pid <= 0 || len(name) > 20+1+10+1+32 {
			t.Errorf("%q is parsed as %+v", name, parsed)
		}
		id, ok := strings.CutPrefix(name, fmt.Sprintf("%020d.%d.", parsed.number, parsed.pid))
		if b, err := hex.DecodeString(id); !ok || err != nil || len(b) != 16 || strings.ToLower(id) != id {
			t.Errorf("%q is parsed as %+v, and cannot be put together again", name, parsed)
		}
	})
}
