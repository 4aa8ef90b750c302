package testenv

import (
	"flag"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Together lets so many tests of the package run side by side, also where there are
// fewer processors, unless the flag says how many: it is for tests that wait most of
// their time. TestMain calls it.
func Together(n int) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given && runtime.GOMAXPROCS(0) < n {
		_ = flag.Set("test.parallel", strconv.Itoa(n))
	}
}

// Fewer returns how often a test does what it does n times without the race detector: with
// it, a hand-off between processes takes some four times as long, and a race does not need
// as many to be seen.
func Fewer(n int) int {
	if Race {
		return n / 4
	}
	return n
}

// Main runs the tests of a package, and fails if they leave a goroutine behind:
//
//	func TestMain(m *testing.M) { testenv.Main(m.Run) }
//
// What ends by itself has the time to.
func Main(run func() int) { goleak.VerifyTestMain(patient(run)) }

// patient is what goleak runs. It looks itself for less than half a second.
type patient func() int

func (run patient) Run() int {
	code := run()
	_ = awaitGoroutines()
	return code
}

// WantNoGoroutines waits until there are no goroutines but those, and fails the test
// if one stays.
func WantNoGoroutines(tb testing.TB, but ...goleak.Option) {
	tb.Helper()
	if err := awaitGoroutines(but...); err != nil {
		tb.Error(err)
	}
}

func awaitGoroutines(but ...goleak.Option) error {
	const patience = 20 * time.Second
	for began := time.Now(); ; {
		err := goleak.Find(but...)
		if err == nil || time.Since(began) > patience {
			return err
		}
	}
}
