// Package earlier builds this module's comparison as it was in an earlier
// revision, so that both can be measured in one run. Its workers do what they
// are told by the later one; package load has the orders that both understand.
package earlier

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build checks out the revision below dir and builds cmd/compare. It returns the
// path of the program, and what the revision is called.
func Build(ctx context.Context, revision, dir string) (program, name string, err error) {
	top, err := run(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return "", "", err
	}
	if name, err = run(ctx, top, "git", "describe", "--always", revision); err != nil {
		return "", "", err
	}
	tree := filepath.Join(dir, "earlier")
	archive := tree + ".tar"
	if _, err := run(ctx, top, "git", "archive", "--prefix=earlier/", "-o", archive, revision); err != nil {
		return "", "", err
	}
	if _, err := run(ctx, dir, "tar", "-xf", archive); err != nil {
		return "", "", err
	}
	program = filepath.Join(dir, "compare-earlier")
	_, err = run(ctx, filepath.Join(tree, "benchmarks"), "go", "build", "-buildvcs=false", "-o", program, "./cmd/compare")
	return program, name, err
}

func run(ctx context.Context, dir, command string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, command, args...)
	c.Dir = dir
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", command, args[0], err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}
