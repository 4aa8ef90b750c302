package filequeue_test

import "os"

// underWine reports whether this is Wine's Windows, as internal/wine runs it: a
// few things there are not as they are on Windows.
func underWine() bool { return os.Getenv("FIFOLOCK_WINE") != "" }
