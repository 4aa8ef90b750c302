// Package mutants runs the tests on deliberately broken versions of fifolock, and
// says which test caught which. A mutant that survives is a hole in the tests.
//
//	go run ./internal/evidence mutants             # all of them
//	go run ./internal/evidence mutants -run seq    # those with a name that matches
//	go run ./internal/evidence mutants -list       # their names
//
// Caught.txt says which test has caught which in an earlier run: that one is run first,
// and the others only if it does not. It is what a run prints, without the times:
//
//	go run ./internal/evidence mutants | tee log
//	sed -nE 's/^(caught .*[^ ]) +[0-9][0-9hms]* by/\1 by/p' log | sort > internal/evidence/mutants/caught.txt
//
// A mutant is one edit of one function, method, constant or variable, or of one
// Lua script; see Mutant. The tree is not touched: the edited file is laid over it
// with go test's -overlay. The tests are first run on the tree as it is: they must
// pass there, and a mutant with which they take three times as long hangs, and is
// caught. A mutant that survives is an error, and so is one with an edit that does not
// apply any more.
package mutants

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// Mutant is one way to break fifolock.
type Mutant struct {
	name string // what is wrong with it

	// in is the place of the edit: the directory of a package and what is declared
	// there ("lock Mutex.Unlock", "lock beatsUnderWay"), or the path of a Lua script
	// and, if the edit is in one, its function. So other code may come, go and move
	// to other files, and the mutant still applies.
	in string

	// old is what is replaced. It stands in that place exactly once; any space in it
	// stands for any other. If it is empty, new is put at the beginning of the
	// function.
	old, new string

	// tests are those of the list, unless there are some here.
	tests tests
}

// tests are what is to catch a mutant: arguments of go test, one run a line. The
// next run is made if the one before has not caught it.
type tests []string

// list is mutants that the same tests are to catch.
type list struct {
	tests   tests
	mutants []Mutant
}

// all returns the mutants of all lists, each with its tests.
func all() []Mutant {
	var mutants []Mutant
	for _, l := range []list{ofLock, ofFiles, ofRedis} {
		for _, m := range l.mutants {
			if len(m.tests) == 0 {
				m.tests = l.tests
			}
			mutants = append(mutants, m)
		}
	}
	return mutants
}

// leastLimit is how long the tests may take with a mutant at least.
const leastLimit = 30 * time.Second

// Main is the command.
func Main(args []string) error {
	flags := flag.NewFlagSet("mutants", flag.ExitOnError)
	run := flags.String("run", "", "run only the mutants whose name matches this expression")
	names := flags.Bool("list", false, "print the names and run nothing")
	first := flags.String("first", "internal/evidence/mutants/caught.txt", "the output of an earlier run, in -root; empty: all tests are run in any case")
	limit := flags.Duration("limit", 0, "how long the tests may take with a mutant; 0: three times as long as without")
	root := flags.String("root", ".", "the directory of the module")
	_ = flags.Parse(args) // exits on errors
	only, err := regexp.Compile(*run)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(all(), func(m Mutant) bool { return !only.MatchString(m.name) })
	if *names {
		for _, m := range chosen {
			fmt.Println(m.name)
		}
		return nil
	}
	if len(chosen) == 0 {
		return errors.New("there is no such mutant")
	}
	r := runner{root: *root, limit: *limit, limits: make(map[string]time.Duration)}
	if *first != "" {
		if !filepath.IsAbs(*first) {
			*first = filepath.Join(*root, *first)
		}
		if r.earlier, err = readCatches(*first); err != nil {
			return err
		}
	}
	survived := 0
	for _, m := range chosen {
		if ok, err := r.run(m); err != nil {
			return err
		} else if !ok {
			survived++
		}
	}
	fmt.Printf("%d mutants, %d survived\n", len(chosen), survived)
	if survived > 0 {
		return fmt.Errorf("%d mutants survived", survived)
	}
	return nil
}

// runner runs mutants, one after the other.
type runner struct {
	root   string
	limit  time.Duration            // for all, if it is not 0
	limits map[string]time.Duration // by the arguments of go test

	earlier map[string]catch // by the name of the mutant
}

// run runs one and reports whether it was caught.
func (r *runner) run(m Mutant) (caught bool, err error) {
	began := time.Now()
	type testRun struct{ args, all string } // all: those that must pass without a mutant
	var runs []testRun
	if c, ok := r.earlier[m.name]; ok {
		runs = append(runs, testRun{c.args(), r.allEarlier(c.in)})
	}
	for _, args := range m.tests {
		runs = append(runs, testRun{args, args})
	}
	for _, run := range runs {
		limit, err := r.limitOf(run.all)
		if err != nil {
			return false, err
		}
		by, err := m.test(r.root, run.args, limit)
		if err != nil {
			fmt.Printf("ERROR    %-45s %v\n", m.name, err)
			return false, nil
		}
		if by != nil {
			fmt.Printf("caught   %-45s %v by %v\n", m.name, time.Since(began).Round(time.Second), by)
			return true, nil
		}
	}
	fmt.Printf("SURVIVED %-45s %v\n", m.name, time.Since(began).Round(time.Second))
	return false, nil
}

// limitOf returns how long the tests may take. It runs them without a mutant the
// first time.
func (r *runner) limitOf(args string) (time.Duration, error) {
	if r.limit > 0 {
		return r.limit, nil
	}
	if limit := r.limits[args]; limit > 0 {
		return limit, nil
	}
	took, err := baseline(r.root, args)
	if err != nil {
		return 0, fmt.Errorf("go test %s fails without a mutant: %w", args, err)
	}
	fmt.Printf("pass     %-45s %v\n", "without a mutant: "+args, took.Round(time.Second))
	r.limits[args] = max(3*took, leastLimit)
	return r.limits[args], nil
}
