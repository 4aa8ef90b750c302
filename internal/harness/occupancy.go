//go:build linux

package harness

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slots is how many workers one harness can have started in all.
const slots = 4096

// occupancy is memory that all workers share: in its slot each has the ticket
// with which it is in the critical section, 0 outside. A worker that goes in
// looks at all the others.
//
// The parent judges later what a worker has met, because it knows which workers were
// killed: the slot of a killed worker stays as it was until the worker has been reaped.
type occupancy struct {
	memory []byte
	ticket []atomic.Int64
	used   *atomic.Int64 // how many slots have been given out
}

// openOccupancy maps the file, which it makes as long as is needed.
func openOccupancy(path string) (*occupancy, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const words = slots + 1
	const size = words * 8
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	all := unsafe.Slice((*atomic.Int64)(unsafe.Pointer(&memory[0])), words)
	return &occupancy{memory: memory, ticket: all[1:], used: &all[0]}, nil
}

func (o *occupancy) close() { _ = unix.Munmap(o.memory) }

// enter marks the slot and returns the tickets of the others that are inside. It marks
// first and looks then: of two that go in at the same time at least one sees the other.
func (o *occupancy) enter(slot int, ticket int64) (others []int64) {
	// Two goroutines of one worker share a slot.
	if other := o.ticket[slot].Swap(ticket); other != 0 {
		others = append(others, other)
	}
	for i := range int(o.used.Load()) {
		if other := o.ticket[i].Load(); other != 0 && i != slot {
			others = append(others, other)
		}
	}
	return others
}

func (o *occupancy) leave(slot int) { o.ticket[slot].Store(0) }
