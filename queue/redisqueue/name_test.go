package redisqueue_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

var strangeNames = []string{
	"", "{", "}", "}x", "a{b}c", "{}", "a", "a:queue", "a:seq", "a:lease:1", ":", " ", "\n", "\r\n", "\x00", "\u00e9", "e\u0301", "\U0001F512", "\xff\xfe",
	"seq", "queue", "*", "?", "[a]", "a\\", "%s", "$1", "'", "\"", "../a", strings.Repeat("n", 512), strings.Repeat("n", 513), strings.Repeat("\u00e9", 257),
}

// FuzzName: a name is refused, or a whole cycle works with it, in one slot,
// beside a queue of any other name, and leaves nothing.
func FuzzName(f *testing.F) {
	testenv.Long(f)
	for i, name := range strangeNames {
		f.Add(name, strangeNames[(i+1)%len(strangeNames)])
	}
	client := redistest.ClientOf(f, redistest.Miniredis(f))
	f.Fuzz(func(t *testing.T, one, other string) { checkNames(t, client, one, other) })
}

// TestNameCorpus is the same with a real server.
func TestNameCorpus(t *testing.T) {
	t.Parallel()
	redistest.NeedReal(t)
	client := redistest.StartServer(t).Client() // no other test may have keys there
	for i, name := range strangeNames {
		checkNames(t, client, name, strangeNames[(i+1)%len(strangeNames)])
	}
	for _, names := range nameCorpus(t) {
		checkNames(t, client, names[0], names[1])
	}
}

// nameCorpus reads what FuzzName has kept.
func nameCorpus(t *testing.T) (corpus [][2]string) {
	files, err := filepath.Glob("testdata/fuzz/FuzzName/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("there is no corpus: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var names [2]string
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != 3 {
			t.Fatalf("%s has %d lines, want 3", file, len(lines))
		}
		for i := range names {
			quoted := strings.TrimSuffix(strings.TrimPrefix(lines[i+1], "string("), ")")
			if names[i], err = strconv.Unquote(quoted); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		corpus = append(corpus, names)
	}
	return corpus
}

// checkNames checks two names on a server that has no keys.
func checkNames(t *testing.T, client *redis.Client, one, other string) {
	t.Helper()
	var tickets []queue.Ticket
	var queues []*redisqueue.Queue
	var seen []string
	names := []string{one, other}
	if one == other {
		names = names[:1]
	}
	for _, name := range names {
		q := redisqueue.New(client, name)
		ticket, err := q.Register(t.Context())
		acceptable := name != "" && len(name) <= 512 && !strings.ContainsAny(name, "{}")
		if (err == nil) != acceptable {
			t.Fatalf("Register with the name %q: %v", name, err)
		}
		if err != nil {
			continue
		}
		if ticket.Ahead != 0 {
			t.Errorf("%q shares a line with %q", name, one)
		}
		keys := allKeys(t, client)
		if len(keys) != len(seen)+3 {
			t.Errorf("%q has the keys %q beside %q, want three", name, keys, seen)
		}
		for _, key := range keys {
			if tag := hashTag(key); !slices.Contains(seen, key) && tag != name {
				t.Errorf("%q has the key %q, with the hash tag %q", name, key, tag)
			}
		}
		seen = keys
		tickets, queues = append(tickets, ticket), append(queues, q)
	}
	for i, q := range queues {
		if head, err := q.IsHead(t.Context(), tickets[i]); err != nil || !head {
			t.Errorf("IsHead of %v is %v, %v", q, head, err)
		}
		if err := q.Refresh(t.Context(), tickets[i]); err != nil {
			t.Error(err)
		}
		if list, err := q.Members(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("Members of %v is %v, %v", q, list, err)
		}
		if err := q.Release(t.Context(), tickets[i]); err != nil {
			t.Error(err)
		}
	}
	if keys := allKeys(t, client); len(keys) > 0 {
		t.Errorf("%q and %q have left %q", one, other, keys)
	}
}

func allKeys(t *testing.T, client *redis.Client) []string {
	t.Helper()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// hashTag is the part of a key that a Cluster makes the slot of.
func hashTag(key string) string {
	_, rest, ok := strings.Cut(key, "{")
	tag, _, closed := strings.Cut(rest, "}")
	if !ok || !closed || tag == "" {
		return key
	}
	return tag
}
