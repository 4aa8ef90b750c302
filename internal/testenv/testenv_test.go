package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder notes how a test ends, and goes on.
type recorder struct {
	testing.TB
	failed, skipped bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true }
func (r *recorder) Skipf(string, ...any)  { r.skipped = true }

func TestNeed(t *testing.T) {
	there, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const missing = "no-such-program"
	for _, c := range []struct {
		setting         string
		programs        []string
		failed, skipped bool
	}{
		{"", []string{there}, false, false},
		{require, []string{there}, false, false},
		{"", []string{there, missing}, false, true},
		{require, []string{there, missing}, true, false},
	} {
		t.Setenv(toolsVariable, c.setting)
		r := &recorder{TB: t}
		Need(r, c.programs...)
		if r.failed != c.failed || r.skipped != c.skipped {
			t.Errorf("%v with %q: failed %v, skipped %v", c.programs, c.setting, r.failed, r.skipped)
		}
	}
}

func TestUnable(t *testing.T) {
	for setting, required := range map[string]bool{"": false, require: true} {
		t.Setenv(toolsVariable, setting)
		r := &recorder{TB: t}
		Unable(r, "needs %s", "something")
		if r.failed != required || r.skipped == required {
			t.Errorf("with %q: failed %v, skipped %v", setting, r.failed, r.skipped)
		}
	}
}

// A redis-server is taken before a valkey-server, wherever in PATH they are.
func TestRedisServer(t *testing.T) {
	redis, valkey := programs(t, "redis-server"), programs(t, "valkey-server")
	both, neither := programs(t, "redis-server", "valkey-server"), programs(t)
	for _, test := range []struct {
		path []string
		want string // empty: there is none
	}{
		{[]string{neither}, ""},
		{[]string{neither, redis}, filepath.Join(redis, "redis-server")},
		{[]string{neither, valkey}, filepath.Join(valkey, "valkey-server")},
		{[]string{valkey, redis}, filepath.Join(redis, "redis-server")},
		{[]string{both}, filepath.Join(both, "redis-server")},
	} {
		t.Setenv("PATH", strings.Join(test.path, string(filepath.ListSeparator)))
		t.Setenv(redisVariable, "")
		if got, err := RedisServer(); got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%q: %q, %v; want %q", os.Getenv("PATH"), got, err, test.want)
		}
		if HasRedis() != (test.want != "") {
			t.Errorf("%q: HasRedis is %t", os.Getenv("PATH"), HasRedis())
		}
	}
}

func TestNeedRedis(t *testing.T) {
	with, without := programs(t, "redis-server"), programs(t)
	for _, c := range []struct {
		setting, path                  string
		failed, skipped, serverSkipped bool
	}{
		{"", with, false, false, false},
		{"", without, false, true, true},
		{require, with, false, false, false},
		{require, without, true, true, true},
		{"127.0.0.1:1", with, false, false, false},
		{"127.0.0.1:1", without, false, false, true},
	} {
		t.Setenv(redisVariable, c.setting)
		t.Setenv("PATH", c.path)
		any, own := &recorder{TB: t}, &recorder{TB: t}
		NeedRedis(any)
		NeedRedisServer(own)
		if any.failed != c.failed || any.skipped != c.skipped || own.failed != c.failed || own.skipped != c.serverSkipped {
			t.Errorf("%q, %q: failed %v, skipped %v; a server of its own: failed %v, skipped %v",
				c.setting, c.path, any.failed, any.skipped, own.failed, own.skipped)
		}
	}
}

// programs returns a directory with programs of these names.
func programs(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
