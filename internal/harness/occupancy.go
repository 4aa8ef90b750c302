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

// occupancy is memory that all workers share. A worker that goes in looks at all the
// others.
//
// The parent judges later what a worker has met, because it knows which workers were
// killed: the slot of a killed worker stays as it was until the worker has been reaped.
type occupancy struct {
	memory []byte
	slots  *[slots]slot
	used   *atomic.Int64 // how many slots have been given out
}

// slot is what the others, and the parent, see of a worker.
type slot struct {
	ticket atomic.Int64 // with which it is in the critical section; 0 outside
	pulse  pulse
}

// openOccupancy maps the file, which it makes as long as is needed.
func openOccupancy(path string) (*occupancy, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const size = unsafe.Sizeof([slots]slot{}) + unsafe.Sizeof(atomic.Int64{})
	if err := f.Truncate(int64(size)); err != nil {
		return nil, err
	}
	memory, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	used, all := unsafe.Pointer(&memory[0]), unsafe.Pointer(&memory[unsafe.Sizeof(atomic.Int64{})])
	return &occupancy{memory: memory, slots: (*[slots]slot)(all), used: (*atomic.Int64)(used)}, nil
}

func (o *occupancy) close() { _ = unix.Munmap(o.memory) }

// enter marks the slot and returns the tickets of the others that are inside. It marks
// first and looks then: of two that go in at the same time at least one sees the other.
func (o *occupancy) enter(slot int, ticket int64) (others []int64) {
	// Two goroutines of one worker share a slot.
	if other := o.slots[slot].ticket.Swap(ticket); other != 0 {
		others = append(others, other)
	}
	for i := range int(o.used.Load()) {
		if other := o.slots[i].ticket.Load(); other != 0 && i != slot {
			others = append(others, other)
		}
	}
	return others
}

func (o *occupancy) leave(slot int) { o.slots[slot].ticket.Store(0) }
