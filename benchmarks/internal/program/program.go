// Package program has the smallest program for each lock, and measures what a
// user of the lock compiles.
package program

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/fifolock/fifolock/benchmarks/internal/peer"
)

const module = "github.com/fifolock/fifolock/benchmarks"

// directories have the programs, by the name of the peer.
var directories = map[string]string{
	peer.FifolockRedis:    "fifolockredis",
	peer.Redislock50ms:    "redislock",
	peer.Redsync:          "redsync",
	peer.Rueidislock:      "rueidislock",
	peer.EtcdMutex:        "etcd",
	peer.PostgresAdvisory: "postgres",
	peer.FifolockFile:     "fifolockfile",
	peer.GofrsPolling:     "gofrsflock",
}

// Has reports whether there is a program with that peer.
func Has(name string) bool { return directories[name] != "" }

// Measures are those of one program.
type Measures struct {
	Packages int // compiled into it
	Other    int // of them, those that are not of the standard library
	GoRedis  int // of them, those of go-redis
	Bytes    int64
}

// Measure builds the program with that peer. It asks the go command, in the
// module of the benchmarks.
func Measure(ctx context.Context, name string) (m Measures, err error) {
	path := module + "/internal/program/" + directories[name]
	list, err := command(ctx, "list", "-deps", "-f", "{{.Standard}} {{.ImportPath}}", path)
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(list) {
		m.Packages++
		standard, imported, _ := strings.Cut(strings.TrimSpace(line), " ")
		if standard != "true" {
			m.Other++
		}
		if strings.HasPrefix(imported, "github.com/redis/go-redis/") {
			m.GoRedis++
		}
	}
	dir, err := os.MkdirTemp("", "fifolock-program-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "program")
	if _, err := command(ctx, "build", "-o", file, path); err != nil {
		return m, err
	}
	built, err := os.Stat(file)
	if err != nil {
		return m, err
	}
	m.Bytes = built.Size()
	return m, nil
}

func command(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "go", args...)
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, said.String())
	}
	return string(out), nil
}
