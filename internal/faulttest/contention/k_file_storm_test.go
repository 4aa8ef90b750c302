//go:build linux

package contention

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/harness"
	"github.com/fifolock/fifolock/internal/testenv"
)

// A cleaner, a backup and a restore use the directory like us: seq is removed,
// replaced by a copy, by an older copy, emptied, cut, linked, moved away and back,
// and changed in its mode, every few milliseconds, while eight processes contend.
// Never two own, tokens ascend, no holder loses the lock, and no call fails.
func TestK31StormOfSeq(t *testing.T) { stormOfSeq(t, testenv.Fewer(250)) }

func TestK31StormOfSeqHundredThousand(t *testing.T) {
	harness.Torture(t)
	stormOfSeq(t, 12_500)
}

// stormOfSeq has each process go through so many sections.
func stormOfSeq(t *testing.T, sections int) {
	const workers = 8
	h := harness.New(t, faulttest.File(t))
	h.Section = 100 * time.Microsecond
	h.Tolerant = os.Geteuid() != 0 // a process that is not root is refused while the mode is wrong
	all := h.StartAll(workers)
	for _, w := range all {
		w.Run(1, sections)
	}
	v := &seqVandal{t: t, random: harness.Random(t), seq: filepath.Join(h.Spec.Dir, "seq"), aside: t.TempDir()}
	for tick := time.Tick(3 * time.Millisecond); h.Count(harness.Done) < workers; <-tick {
		v.strike()
	}
	for _, w := range all {
		w.Finished()
	}
	t.Logf("struck %d times", v.strikes)
	if verdict := h.Check(); verdict.Grants != workers*sections || verdict.LostHolds != 0 {
		t.Errorf("%v; want %d grants, and nobody who loses one", verdict, workers*sections)
	}
	// The directory may stay: when seq has vanished, its maker is not known.
	entries, err := os.ReadDir(h.Spec.Dir)
	if len(entries) > 1 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is left %q, %v", entries, err)
	}
}

// seqVandal does to seq what programs do that know nothing of it.
type seqVandal struct {
	t       *testing.T
	random  *rand.Rand
	seq     string
	aside   string // a directory for what it needs
	old     []byte // what seq said once
	strikes int
}

// must ignores that there is no seq just now.
func (v *seqVandal) must(err error) {
	v.t.Helper()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.t.Error(err)
	}
}

func (v *seqVandal) strike() {
	v.t.Helper()
	v.strikes++
	second, away := filepath.Join(v.aside, "second"), filepath.Join(v.aside, "away")
	switch v.random.IntN(12) {
	case 0:
		v.must(os.Remove(v.seq))
	case 1:
		v.replace(v.read())
	case 2:
		v.replace(v.old)
	case 3:
		v.old = v.read()
	case 4:
		v.must(os.Truncate(v.seq, 0))
	case 5:
		v.must(os.Truncate(v.seq, 7))
	case 6:
		_ = os.Remove(second)
		v.must(os.Link(v.seq, second))
	case 7:
		v.must(os.Chmod(v.seq, 0o400))
	case 8:
		v.must(os.Chmod(v.seq, 0o600))
	case 9: // written in place
		if f, err := os.OpenFile(v.seq, os.O_WRONLY, 0); err == nil {
			_, err = f.WriteAt(v.old, 0)
			v.must(err)
			f.Close()
		}
	case 10:
		v.must(os.Rename(v.seq, away))
	case 11:
		v.must(os.Rename(away, v.seq))
	}
}

func (v *seqVandal) read() []byte {
	content, err := os.ReadFile(v.seq)
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		v.must(err)
	}
	return content
}

func (v *seqVandal) replace(content []byte) {
	copied := filepath.Join(v.aside, "copy")
	v.must(os.WriteFile(copied, content, 0o600))
	v.must(os.Rename(copied, v.seq))
}
