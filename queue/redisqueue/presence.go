package redisqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
	"github.com/fifolock/fifolock/queue/redisqueue/internal/notifier"
)

// watchPresence has the notifier show that the process lives, for the tickets taken
// through this queue.
func (s *storage) watchPresence(n *notifier.Notifier, grace time.Duration) {
	s.presence = n.NewPresence(grace, notifier.Server{
		Seen: func(ctx context.Context, channel string) (run string, err error) {
			err = clients.Call(func() (err error) {
				run, err = redis.NewScript(seenScript().source).Run(ctx, s.client, []string{s.prefix + "absent"}, n.ID(), channel).Text()
				return err
			})
			return run, err
		},
		Sign: func(ctx context.Context, member string) error {
			v := &view{storage: s}
			e, err := parseEntry(member)
			if err != nil {
				return err
			}
			r := v.request(refreshScript, n.ID(), s.ticketKeys(e.token), member, s.presenceToKeep(e.token))
			answer, _, err := s.send(ctx, brief, r) // the pool may be full of connections that have broken
			if err != nil {
				return err
			}
			deliver(n, answer)
			return answer.status.err() // that there are more dead is nothing to a sign
		},
	})
}

// unseen is the presence of a process that the server has not seen.
const unseen = "?"

// presenceText is what a lease made now says of the presence of its process:
// {run id}/{milliseconds} if the server has seen it, or unseen. It is empty without crash
// detection.
func (s *storage) presenceText() string {
	if s.presence == nil {
		return ""
	}
	run, grace := s.presence.Seen()
	if run == "" {
		return unseen
	}
	return fmt.Sprintf("%s/%d", run, grace.Milliseconds())
}

// presenceToKeep is what a refresh makes a ticket's lease say of the presence; - leaves it
// as it is: a ticket that was taken through another queue, maybe of another process, is
// shown by that, or not at all.
func (s *storage) presenceToKeep(token string) string {
	if s.presence != nil && s.presence.Has(token) {
		if text := s.presenceText(); text != unseen {
			return text
		}
	}
	return "-"
}

// absent is called with crash detection when a ticket has left the line, or was not
// taken; gone says that it was found to have left it before.
func (s *storage) absent(token string, gone bool) {
	if gone {
		s.presence.Gone(token)
	} else {
		s.presence.Leave(token)
	}
}
