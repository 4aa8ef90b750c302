package lockedfile

import "golang.org/x/sys/unix"

func renameWithoutReplacing(at int, from, to string) error {
	return unix.RenameatxNp(at, from, at, to, unix.RENAME_EXCL)
}
