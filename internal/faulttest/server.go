//go:build linux

package faulttest

import (
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// Do has the server execute a command, of words.
func Do(t *testing.T, client redis.UniversalClient, command string) any {
	t.Helper()
	var args []any
	for word := range strings.FieldsSeq(command) {
		args = append(args, word)
	}
	v, err := client.Do(t.Context(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%s: %v", command, err)
	}
	return v
}
