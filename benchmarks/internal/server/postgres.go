package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// postgresConnections is enough for a connection for each of 512 goroutines.
const postgresConnections = 600

// startPostgres makes a cluster and starts it. Its data is on a tmpfs, if
// there is one, and it waits for no disk.
func startPostgres(dir string) (*running, error) {
	path, err := find("postgres", "/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return nil, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil { // its initdb is beside it
		return nil, err
	}
	credential, err := notRoot()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "postgres")
	if err := makeOwned(home, credential); err != nil {
		return nil, err
	}
	data := filepath.Join(home, "data")
	initdb := exec.Command(filepath.Join(filepath.Dir(path), "initdb"), "--pgdata", data, "--auth", "trust", "--username", "postgres", "--no-sync")
	initdb.Dir = home
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	if said, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, said)
	}
	p, addr, err := onFreePort(func(port string) (*process, error) {
		p, err := start("postgres", filepath.Join(home, "postgres.log"), credential,
			path, "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
			"-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap", // leaves nothing outside of dir
			"-c", "max_connections="+strconv.Itoa(postgresConnections))
		if err != nil {
			return nil, err
		}
		return p, p.await(func() error { return postgresAnswers(postgresURL("127.0.0.1:" + port)) })
	})
	if err != nil {
		return nil, err
	}
	return &running{process: p, addr: postgresURL(addr), version: version(path)}, nil
}

func postgresURL(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=postgres sslmode=disable", host, port)
}

func postgresAnswers(url string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// notRoot returns the user that PostgreSQL runs as: it refuses to run as root.
func notRoot() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func makeOwned(dir string, credential *syscall.Credential) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if credential == nil {
		return nil
	}
	return os.Chown(dir, int(credential.Uid), int(credential.Gid))
}
