package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"
)

// Flags are the flags of a program. Each is checked when it is read; what several
// of them say together, when all were read.
type Flags struct {
	*flag.FlagSet
	checks []func() error
}

// NewFlags returns the flags of a program; usage is what stands behind its name
// in the first line of -help.
func NewFlags(program, usage string) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(program, flag.ContinueOnError)}
	f.SetOutput(io.Discard) // an error is said once, by the caller of Parse
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage:", program, usage)
		f.PrintDefaults()
	}
	return f
}

// Check adds what must be so when all flags were read.
func (f *Flags) Check(check func() error) { f.checks = append(f.checks, check) }

// Parse reads the flags of a program that takes no other arguments. It returns
// [flag.ErrHelp] after -help, or a [UsageError].
func (f *Flags) Parse(args []string) error {
	f.Check(func() error {
		if f.NArg() > 0 {
			return fmt.Errorf("unexpected argument %q", f.Arg(0))
		}
		return nil
	})
	_, err := f.ParseCommand(args)
	return err
}

// ParseCommand reads the flags, and returns the arguments behind them.
func (f *Flags) ParseCommand(args []string) (command []string, err error) {
	err = f.FlagSet.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		f.SetOutput(os.Stdout)
		f.Usage()
		return nil, err
	}
	for _, check := range f.checks {
		if err == nil {
			err = check()
		}
	}
	if err != nil {
		return nil, UsageError{err}
	}
	return f.Args(), nil
}

// Given reports whether the arguments have the flag.
func (f *Flags) Given(name string) (given bool) {
	f.Visit(func(g *flag.Flag) { given = given || g.Name == name })
	return given
}

// Duration adds a flag for a time that must be above 0 where it is given.
func (f *Flags) Duration(to *time.Duration, name string, value time.Duration, usage string) {
	*to = value
	f.Var(durationValue{to}, name, usage)
}

// Int adds a flag for a number from least to most.
func (f *Flags) Int(to *int, name string, value, least, most int, usage string) {
	*to = value
	f.Var(intValue{to, least, most}, name, fmt.Sprintf("%s, from %d to %d", usage, least, most))
}

// Mode adds a flag for permission bits.
func (f *Flags) Mode(to *fs.FileMode, name, usage string) {
	f.Func(name, usage, func(text string) error {
		bits, err := strconv.ParseUint(text, 8, 9)
		if err != nil || bits == 0 {
			return errors.New("give permission bits such as 0660")
		}
		*to = fs.FileMode(bits)
		return nil
	})
}

type durationValue struct{ d *time.Duration }

func (v durationValue) String() string {
	if v.d == nil || *v.d == 0 {
		return ""
	}
	return v.d.String()
}

func (v durationValue) Set(text string) error {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return errors.New("give a time such as 500ms or 1m30s")
	case d <= 0:
		return errors.New("give a time above 0")
	}
	*v.d = d
	return nil
}

type intValue struct {
	n           *int
	least, most int
}

func (v intValue) String() string {
	if v.n == nil || *v.n == 0 {
		return ""
	}
	return strconv.Itoa(*v.n)
}

func (v intValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < v.least || n > v.most {
		return fmt.Errorf("give a number from %d to %d", v.least, v.most)
	}
	*v.n = n
	return nil
}
