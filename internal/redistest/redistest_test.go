package redistest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A redis-server is taken before a valkey-server, wherever in PATH they are.
func TestProgram(t *testing.T) {
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
		t.Setenv(variable, "")
		if got, err := program(); got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%q: %q, %v; want %q", os.Getenv("PATH"), got, err, test.want)
		}
		if IsReal() != (test.want != "") {
			t.Errorf("%q: IsReal is %t", os.Getenv("PATH"), IsReal())
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
