package lockedfile

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Only a change time that is ahead of the clock of the ticks shows that the file system
// notes more than these, and one of whole milliseconds not even then.
func TestIsFine(t *testing.T) {
	var ticks unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ticks); err != nil {
		t.Fatal(err)
	}
	tick := time.Unix(int64(ticks.Sec), int64(ticks.Nsec))
	ahead := time.Now().Add(time.Hour)
	for what, c := range map[string]struct {
		changed time.Time
		want    bool
	}{
		"a tick":                        {tick, false},
		"ahead of the ticks":            {ahead.Truncate(time.Second).Add(123456789), true},
		"ahead, and of whole seconds":   {ahead.Truncate(time.Second), false},
		"ahead, and of whole millis":    {ahead.Truncate(time.Millisecond), false},
		"none":                          {time.Time{}, false},
		"behind the ticks, of any kind": {tick.Add(-time.Hour + 1), false},
	} {
		if got := IsFine(c.changed); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}
