package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/filequeue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// Place is where a lock is. It is plain data: a program hands it to its worker
// processes as JSON.
type Place struct {
	File  string        // the directory of the queue; or
	Redis string        // the address of the server, and
	Name  string        // the name of the lock there
	Lease time.Duration // on Redis: how long an owner may be out of touch; 0: as usual
	Crash time.Duration // on Redis: after which the end of a process is noticed; 0: with its lease
	Stale time.Duration // in a directory: the same, where it is wanted; 0: it is not
	Mode  fs.FileMode   // in a directory: of its files, for other users; 0: for this one alone
	Label string        // is shown to people

	keeps bool // the directory was there before, so that the queue lets it stay
}

// Place adds the flags that say where the lock is. Without any of them p is left
// empty, which a program that needs a lock of its user's refuses.
func (f *Flags) Place(p *Place, needed bool) {
	f.StringVar(&p.File, "file", "", "keep the queue in this `directory`")
	fromEnvironment := "; " + redisVariable + " is not used"
	if needed {
		fromEnvironment = "; without -file and -redis, that of " + redisVariable + " in the environment"
	}
	f.StringVar(&p.Redis, "redis", "", "keep the queue in the Redis server at this `address`: host:port, the path of a socket, or a redis:// or rediss:// URL"+fromEnvironment)
	f.StringVar(&p.Name, "name", "", "with -redis: the `name` of the lock")
	f.Mode(&p.Mode, "mode", "with -file: let other users share the queue: the permission `bits` of its files, such as 0660 (WithFileMode in an error)")
	f.Check(func() error { return f.checkPlace(p, needed) })
}

// Of redisqueue.
const (
	usualLease = 30 * time.Second
	leastLease = 10 * time.Millisecond
)

// Lease adds the flag for how long Redis believes an owner.
func (f *Flags) Lease(p *Place, lease time.Duration) {
	f.Duration(&p.Lease, "lease", lease, "with -redis: the `time` that an owner may be out of touch before it loses its place")
	f.Check(func() error {
		switch {
		case p.Redis == "" && f.Given("lease"):
			return errors.New("-lease is for -redis: in a directory an owner keeps its place for as long as it lives")
		case p.Redis != "" && p.Lease < leastLease:
			return fmt.Errorf("-lease must be at least %v", leastLease)
		}
		return nil
	})
}

// Crash adds the flag for the crash detection of redisqueue, beside that of Lease. With
// it the lease is the usual one unless it is given, also where a demonstration has a
// shorter one in order not to wait for it.
func (f *Flags) Crash(p *Place) {
	f.Duration(&p.Crash, "crash", 0, fmt.Sprintf("with -redis: the `time` after which the end of a process is noticed, at least 500ms; without it, it is noticed when the lease ends; with it, the lease is %v unless given. A connection that breaks for half of it costs the lock", usualLease))
	f.Check(func() error {
		if p.Crash == 0 {
			return nil
		}
		if !f.Given("lease") {
			p.Lease = usualLease
		}
		switch {
		case p.Redis == "":
			return errors.New("-crash is for -redis: in a directory the kernel says at once that a process has ended")
		case p.Crash < 500*time.Millisecond, p.Crash >= p.Lease/2:
			return fmt.Errorf("-crash must be at least 500ms, and less than half the lease, which is %v", p.Lease)
		}
		return nil
	})
}

// redisVariable is the environment variable with the address for programs that need one
// and were given none: a password on the command line is seen by all users.
const redisVariable = "FIFOLOCK_REDIS"

func (f *Flags) checkPlace(p *Place, needed bool) error {
	for _, name := range []string{"file", "redis", "name"} {
		if f.Given(name) && f.Lookup(name).Value.String() == "" {
			return fmt.Errorf("-%s is empty", name)
		}
	}
	if needed && p.File == "" && p.Redis == "" {
		p.Redis = os.Getenv(redisVariable)
	}
	source := "-redis"
	if !f.Given("redis") {
		source = redisVariable
	}
	switch {
	case p.File != "" && p.Redis != "":
		return errors.New("say where the lock is with -file or with -redis, not with both")
	case needed && p.File == "" && p.Redis == "":
		return fmt.Errorf("say where the lock is, with either -file or -redis, or with %s in the environment", redisVariable)
	case p.File == "~" || strings.HasPrefix(p.File, "~/"):
		return errors.New("-file begins with ~, which a shell replaces only in front of a word without quotes: give the whole path")
	case strings.ContainsAny(p.Name, "{}"):
		return errors.New("-name must be without { and }")
	case p.Redis == "" && p.Name != "":
		return errors.New("-name is for -redis; a lock in a directory is named by the directory")
	case p.File == "" && p.Mode != 0:
		return errors.New("-mode is for -file")
	case needed && p.Redis != "" && p.Name == "":
		return errors.New("say which lock it is with -name")
	case p.Redis != "":
		if _, err := p.options(); err != nil {
			return fmt.Errorf("%s: %w", source, err)
		}
	}
	return nil
}

// options are those of a client of the server. An error does not quote the address, which
// may have a password.
func (p Place) options() (*redis.Options, error) {
	if strings.Contains(p.Redis, "://") {
		options, err := redis.ParseURL(p.Redis)
		if err != nil {
			var quotes *url.Error
			if errors.As(err, &quotes) || strings.Contains(p.Redis, "@") {
				err = errors.New("not a URL of Redis: percent-encode each / % # ? @ of the password")
			}
			return nil, err
		}
		return options, nil
	}
	wrong := errors.New("give host:port, the path of a socket, or a redis:// or rediss:// URL")
	if strings.Contains(p.Redis, "@") { // a URL that is mistyped, or a path, for which there are unix:// URLs
		return nil, wrong
	}
	if strings.ContainsAny(p.Redis, `/\`) {
		return &redis.Options{Network: "unix", Addr: p.Redis}, nil
	}
	if _, _, err := net.SplitHostPort(p.Redis); err != nil {
		return nil, wrong
	}
	return &redis.Options{Addr: p.Redis}, nil
}

// Leases says in words how long Redis believes a process that has fallen silent or has
// ended. It is empty for a directory.
func (p Place) Leases() string {
	switch {
	case p.Redis == "":
		return ""
	case p.Crash > 0:
		return fmt.Sprintf("a lease of %v and crash detection after %v", p.Lease, p.Crash)
	}
	return fmt.Sprintf("a lease of %v", p.Lease)
}

// String says where the lock is, without the password of a URL.
func (p Place) String() string {
	if p.Redis == "" {
		return "the directory " + p.File
	}
	addr := p.Redis
	if options, err := p.options(); err == nil {
		addr = options.Addr
	}
	return fmt.Sprintf("%q in Redis at %s", p.Name, addr)
}

// Own gives a demonstration a lock that no other program uses, unless the flags
// name one, and a directory for what else it needs, which remove removes.
func (p *Place) Own(program string) (directory string, remove func(), err error) {
	directory, err = os.MkdirTemp("", "fifolock-"+program+"-")
	if err != nil {
		return "", nil, err
	}
	switch {
	case p.Redis != "" && p.Name == "":
		p.Name = filepath.Base(directory)
	case p.Redis == "" && p.File == "":
		p.File = filepath.Join(directory, "queue")
	case p.Redis == "":
		_, err := os.Lstat(p.File)
		p.keeps = err == nil
	}
	return directory, func() { os.RemoveAll(directory) }, nil
}

// Open returns the queue of the lock, and what closes its connections. It does no
// I/O. Each call makes a client of its own, as another process would.
func (p Place) Open() (q queue.TicketQueue, closeQueue func(), err error) {
	if p.Redis == "" {
		return filequeue.New(p.File, p.fileOptions()...), func() {}, nil
	}
	client, err := p.client()
	if err != nil {
		return nil, nil, err
	}
	return redisqueue.New(client, p.Name, p.redisOptions()...), func() { client.Close() }, nil
}

func (p Place) fileOptions() (options []filequeue.Option) {
	if p.Stale > 0 {
		options = append(options, filequeue.WithStaleTimeout(p.Stale))
	}
	if p.Mode != 0 {
		options = append(options, filequeue.WithFileMode(p.Mode))
	}
	if p.Label != "" {
		options = append(options, filequeue.WithLabel(p.Label))
	}
	return options
}

func (p Place) redisOptions() (options []redisqueue.Option) {
	if p.Lease > 0 {
		options = append(options, redisqueue.WithLease(p.Lease))
	}
	if p.Crash > 0 {
		options = append(options, redisqueue.WithCrashDetection(p.Crash))
	}
	if p.Label != "" {
		options = append(options, redisqueue.WithLabel(p.Label))
	}
	return options
}

func (p Place) client() (*redis.Client, error) {
	logging.Disable() // what it would print on stderr is in the errors, too
	options, err := p.options()
	if err != nil {
		return nil, err
	}
	return redis.NewClient(options), nil
}

// Reach reports what speaks against using the queue, before anything begins.
func (p Place) Reach(ctx context.Context) error {
	q, closeQueue, err := p.Open()
	if err != nil {
		return err
	}
	defer closeQueue()
	_, err = q.IsEmpty(ctx)
	return err
}

// Leftovers lists what the queue has left behind when its line is empty: files,
// or keys.
func (p Place) Leftovers(ctx context.Context) ([]string, error) {
	if p.Redis != "" {
		return p.keys(ctx)
	}
	entries, err := os.ReadDir(p.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var left []string
	if !p.keeps {
		left = append(left, p.File)
	}
	for _, e := range entries {
		left = append(left, filepath.Join(p.File, e.Name()))
	}
	return left, err
}

// keys are those of the queue, all of which begin with its name in braces.
func (p Place) keys(ctx context.Context) ([]string, error) {
	client, err := p.client()
	if err != nil {
		return nil, err
	}
	defer client.Close()
	pattern := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(p.Name)
	var keys []string
	scan := client.Scan(ctx, 0, "{"+pattern+"}:*", 1000).Iterator()
	for scan.Next(ctx) {
		keys = append(keys, scan.Val())
	}
	return keys, scan.Err()
}
