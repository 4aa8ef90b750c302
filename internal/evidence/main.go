// Command evidence gathers what shows that the lock does what it promises.
//
//	go run ./internal/evidence mutants    # do the tests notice a version that is broken?
//	go run ./internal/evidence campaign   # what came of the faults of docs/faults.md?
//
// Each has flags, which -h lists. It exits 1 when the evidence is against us, and
// 2 when it was called wrongly.
package main

import (
	"fmt"
	"os"

	"github.com/fifolock/fifolock/internal/evidence/campaign"
	"github.com/fifolock/fifolock/internal/evidence/mutants"
)

func main() {
	commands := map[string]func(args []string) error{
		"mutants":  mutants.Main,
		"campaign": campaign.Main,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: evidence mutants|campaign [flags]")
		os.Exit(2)
	}
	if err := commands[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "evidence %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
