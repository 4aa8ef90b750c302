package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue/filequeue"
)

// storage refuses a token that is lower than the highest it has seen. In SQL it
// is a condition:
//
//	UPDATE report SET text = ?, token = ? WHERE token <= ?
type storage struct {
	highest int64
	text    string
}

func (s *storage) write(token int64, text string) error {
	if token < s.highest {
		return errors.New("refused: another one has held the lock since")
	}
	s.highest, s.text = token, text
	return nil
}

// No lock can stop a holder that was suspended past its lease and writes when
// it wakes up. A storage that checks the token can.
func ExampleMutex_Token() {
	dir, remove := temporaryDirectory()
	defer remove()
	ctx := context.Background()
	var s storage

	slow := lock.New(filequeue.New(dir))
	if err := slow.Lock(ctx); err != nil {
		log.Fatal(err)
	}
	token := slow.Token()
	slow.Unlock() // stands for a lease that ran out while the machine slept

	next := lock.New(filequeue.New(dir))
	if err := next.Lock(ctx); err != nil {
		log.Fatal(err)
	}
	defer next.Unlock()
	fmt.Println("next:", s.write(next.Token(), "new"))

	fmt.Println("slow:", s.write(token, "old"))
	fmt.Println("text:", s.text)
	// Output:
	// next: <nil>
	// slow: refused: another one has held the lock since
	// text: new
}
