package queue

// put leaves w in wake, which has room for one, without ever waiting. What is
// there and was not read yet counts as well: a Granted is not displaced by a
// Look. Nobody else may send at the same time.
func put(wake chan Wake, w Wake) {
	select {
	case wake <- w:
		return
	default:
	}
	if w == Look {
		return // one to look is enough, and a grant is worth more
	}
	select {
	case <-wake:
	default: // read in the meantime
	}
	wake <- w
}
