package label_test

import (
	"strings"
	"testing"

	"github.com/fifolock/fifolock/queue/internal/label"
)

func TestCheck(t *testing.T) {
	for text, ok := range map[string]bool{
		"":                          true,
		"deploy-42 (web1)":          true,
		"Größe 日本":                  true,
		strings.Repeat("x", 128):    true,
		strings.Repeat("x", 129):    false,
		"two\nlines":                false,
		"tab\tstop":                 false,
		"nul\x00":                   false,
		"escape\x1b[31m":            false,
		"invalid\xff":               false,
		"right to left \u202e mark": false,
	} {
		if err := label.Check(text); (err == nil) != ok {
			t.Errorf("Check(%q) = %v, want success: %v", text, err, ok)
		}
	}
}
