// Package label checks the text of the option WithLabel, which all queues have.
package label

import (
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Longest is how many bytes a label may have.
const Longest = 128

// Check reports a label that would not stand on one line of a listing: it is
// stored with the ticket and shown to people, and decides nothing.
func Check(text string) error {
	if len(text) > Longest {
		return fmt.Errorf("the label has %d bytes: give WithLabel at most %d", len(text), Longest)
	}
	if !utf8.ValidString(text) {
		return errors.New("the label is not valid UTF-8: give WithLabel text")
	}
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the label contains %U: give WithLabel printable text on one line", r)
		}
	}
	return nil
}
