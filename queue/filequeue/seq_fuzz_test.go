package filequeue

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fifolock/fifolock/queue/filequeue/internal/lockedfile"
)

// FuzzSeq: whatever seq says, the next number is above every ticket in line,
// and those keep their order; unless it is too long to be one of a queue.
func FuzzSeq(f *testing.F) {
	for _, content := range []string{
		"", "abc", "-5", "1e3", "12", "00000000000000000007\n", "99999999999999999999\n", "٣", "0x10",
		strings.Repeat("\x00", seqSize), strings.Repeat("x", longestSeq+1), "00000000000000000007\nmore", "00000000000000000007\r",
	} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		ctx := t.Context()
		dir := filepath.Join(t.TempDir(), "queue")
		q := New(dir)
		first, err := q.Register(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = q.Release(ctx, first) }()
		if err := os.WriteFile(filepath.Join(dir, seqName), append(make([]byte, lockedfile.ContentOffset), content...), 0o600); err != nil {
			t.Fatal(err)
		}
		second, err := q.Register(ctx)
		if len(content) > longestSeq {
			var notOurs *lockedfile.NotOursError
			if !errors.As(err, &notOurs) {
				t.Fatalf("seq of %d bytes: Register returned %v, want it refused", len(content), err)
			}
			return
		}
		if err != nil {
			// A number planted near the end of all numbers is the one that is obeyed.
			if n, ok := parseNumber(strings.TrimSuffix(string(content), "\n")); !ok || n < maxNumber-1 {
				t.Fatalf("seq %q: %v", content, err)
			}
			return
		}
		defer func() { _ = q.Release(ctx, second) }()
		if second.Number <= first.Number || second.Ahead != 1 {
			t.Errorf("seq %q: ticket %d with %d ahead, after ticket %d", content, second.Number, second.Ahead, first.Number)
		}
		if head, err := q.IsHead(ctx, first); !head || err != nil {
			t.Errorf("seq %q: the first is the head: %v, %v", content, head, err)
		}
	})
}
