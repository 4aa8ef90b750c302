package redisqueue

import "testing"

// FuzzEntry: what is taken for a ticket in Redis has all that one has.
func FuzzEntry(f *testing.F) {
	for _, member := range []string{
		"", ":", "1:", ":t:1", "1:t:1", "-1:t:1", "+1:t:1", "1:t:-1", "1:t:1:1", "1e3:t:1",
		"1764000000000000:0123456789abcdef0123456789abcdef.1:1764000000000",
	} {
		f.Add(member)
	}
	f.Fuzz(func(t *testing.T, member string) {
		got, err := parseEntry(member)
		if err != nil {
			return
		}
		if got.number < 0 || got.token == "" || got.token != tokenOf(member) {
			t.Errorf("%q was taken for number %d, token %q", member, got.number, got.token)
		}
	})
}
