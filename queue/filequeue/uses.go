package filequeue

import "sync"

// directories has all of the process by their paths.
var directories = struct {
	sync.Mutex
	byPath map[string]*directory
}{byPath: make(map[string]*directory)}

// useDirectory returns the one directory for the path. done must follow.
func useDirectory(path string) *directory {
	directories.Lock()
	defer directories.Unlock()
	d := directories.byPath[path]
	if d == nil {
		d = &directory{
			path:   path,
			gate:   make(chan struct{}, 1),
			own:    make(map[string]*ownTicket),
			undead: make(map[string]struct{}),
		}
		directories.byPath[path] = d
	}
	d.uses++
	return d
}

// retain adds a use. The caller has one already.
func (d *directory) retain() {
	directories.Lock()
	defer directories.Unlock()
	d.uses++
}

// done ends a use. With the last one the directory is closed.
func (d *directory) done() {
	directories.Lock()
	d.uses--
	last := d.uses == 0
	if last {
		d.unlist()
	}
	directories.Unlock()
	if last {
		d.close()
	}
}

// unlist lets later calls meet on a fresh directory. directories is locked.
func (d *directory) unlist() {
	if directories.byPath[d.path] == d {
		delete(directories.byPath, d.path)
	}
}

// close is called when nobody uses the directory any more.
func (d *directory) close() {
	if d.seq != nil {
		d.seq.Close()
	}
	if d.root != nil {
		d.root.Close()
	}
	if d.vacated {
		_ = removeDirectory(d.path) // an error: somebody has moved in meanwhile
	}
}
