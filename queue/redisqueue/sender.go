package redisqueue

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/queue/redisqueue/internal/clients"
)

const (
	// maxInFlight is how many requests, or pipelines of them, are under way before
	// further ones gather.
	maxInFlight = 8

	// overdue is after how long those under way are not waited for any more: they
	// hang, or the server is far away.
	overdue = 5 * time.Millisecond

	// maxBatch is how many requests go as one pipeline.
	maxBatch = 256
)

// sender sends commands of the queues of one client. One that comes alone goes at
// once. Those that come while others are under way gather, and go together as one
// pipeline when these have returned: in the order in which they came. Each has its own
// answer, its own error and its own ctx.
//
// If the limit is one, they also reach the server in this order, as
// long as none is overdue or sent again, and no slot changes its node.
type sender struct {
	client redis.UniversalClient
	limit  int     // how many are in flight at once
	next   *sender // gets the requests of this one; nil: the client does

	mu         sync.Mutex // guards all below
	generation int        // of those that are waited for; those before are overdue
	inFlight   int        // how many of this generation are under way
	waiting    []*pending
	timer      *time.Timer // runs while any wait
}

// senders are those of one client.
type senders struct {
	free    sender // of most commands
	ordered sender // of releases that hand on in this process, see notifier/handoff.go

	// resent has the tokens of tickets whose request was sent more than once, until their
	// release was answered, or a lease after that has failed or they were found gone: the
	// other request may still arrive.
	resent sync.Map
}

var sendersByClient clients.Registry[senders]

// ofLine returns a sender of the registrations of one Queue. While one is under way further ones
// gather, so that they are in line in the order in which they came, and go as one call: at
// 64 goroutines that halves the calls. They go as all of the client's do.
func (s *senders) ofLine() *sender { return &sender{client: s.free.client, limit: 1, next: &s.free} }

func sendersOf(client redis.UniversalClient) *senders {
	return sendersByClient.Of(client, func() *senders {
		return &senders{free: sender{client: client, limit: maxInFlight}, ordered: sender{client: client, limit: 1}}
	})
}

// do sends a request, and returns its answer, or ctx's error as soon as ctx ends
// while it is with others; then the request's late gets an answer that still comes.
func (s *sender) do(ctx context.Context, r request) (any, error) {
	s.mu.Lock()
	if len(s.waiting) == 0 && s.inFlight < s.limit {
		s.inFlight++
		generation := s.generation
		s.mu.Unlock()
		defer s.completed(generation)
		if s.next != nil {
			return s.next.do(ctx, r)
		}
		cmd := r.command(ctx)
		s.process(ctx, cmd)
		return cmd.answer()
	}
	p := &pending{request: r, ctx: ctx, done: make(chan struct{})}
	s.waiting = append(s.waiting, p)
	if len(s.waiting) == 1 {
		s.startTimer()
	}
	s.mu.Unlock()
	select {
	case <-p.done:
		return p.value, p.err
	case <-ctx.Done():
		if s.withdraw(p) || s.next != nil && s.next.withdraw(p) {
			return nil, unsentError{ctx.Err()}
		}
		go func() { <-p.done; p.request.late(p.value, p.err) }()
		return nil, ctx.Err()
	}
}

// withdraw reports whether a command had not been sent, and is not sent now.
func (s *sender) withdraw(p *pending) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting, p)
	if i < 0 {
		return false
	}
	s.waiting = slices.Delete(s.waiting, i, i+1)
	close(p.done)
	return true
}

// take sends a batch that another sender has gathered, or has it gather with others, and
// returns when all have their answers.
func (s *sender) take(batch []*pending) {
	s.mu.Lock()
	if len(s.waiting) == 0 && s.inFlight < s.limit {
		s.inFlight++
		generation := s.generation
		s.mu.Unlock()
		s.run(batch, generation)
		return
	}
	if len(s.waiting) == 0 {
		s.startTimer()
	}
	s.waiting = append(s.waiting, batch...)
	s.mu.Unlock()
	for _, p := range batch {
		<-p.done
	}
}

// startTimer is called with s.mu held.
func (s *sender) startTimer() {
	if s.timer == nil {
		s.timer = time.AfterFunc(overdue, s.late)
	} else {
		s.timer.Reset(overdue)
	}
}

// late is called when a command has waited for too long: those under way are not
// waited for any more.
func (s *sender) late() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) > 0 {
		s.generation++
		s.inFlight = 0
		s.dispatch()
	}
}

// completed is called when a request or a batch has its answers.
func (s *sender) completed(generation int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if generation != s.generation {
		return
	}
	s.inFlight--
	if len(s.waiting) > 0 {
		s.dispatch()
	}
}

// dispatch sends those that wait. s.mu is held.
func (s *sender) dispatch() {
	count := min(len(s.waiting), maxBatch)
	batch := s.waiting[:count:count]
	s.waiting = s.waiting[count:]
	if len(s.waiting) > 0 {
		s.startTimer()
	} else {
		s.timer.Stop()
	}
	s.inFlight++
	go s.run(batch, s.generation)
}

// run sends a batch and hands out the answers. Each node gets its own requests: a pipeline
// of the client's returns when the last node has answered, and one may hang. A connection
// that breaks fails each as it would have failed alone.
func (s *sender) run(batch []*pending, generation int) {
	defer s.completed(generation)
	defer func() { // where a hook of the caller's has ended the goroutine
		for _, p := range batch {
			select {
			case <-p.done:
			default:
				p.complete(nil, errNoAnswer)
			}
		}
	}()
	if s.next != nil {
		s.next.take(batch)
		return
	}
	var others sync.WaitGroup
	defer others.Wait()
	parts := s.byNode(batch)
	for _, part := range parts[1:] {
		others.Go(func() { s.sendPart(part) })
	}
	s.sendPart(parts[0])
}

// byNode returns a batch in parts, each for one node of a Cluster, or one shard of a Ring.
func (s *sender) byNode(batch []*pending) (parts [][]*pending) {
	var find func(key string) (*redis.Client, error)
	switch client := s.client.(type) {
	case clients.Sharded:
		find = client.GetShardClientForKey
	case clients.Clustered:
		ctx := context.WithoutCancel(batch[0].ctx)
		find = func(key string) (*redis.Client, error) { return client.MasterForKey(ctx, key) }
	}
	if find == nil || len(batch) == 1 {
		return [][]*pending{batch}
	}
	var nodes []*redis.Client
	for _, p := range batch {
		var node *redis.Client
		if clients.Call(func() (err error) { node, err = find(p.keys[0]); return err }) != nil {
			return [][]*pending{batch} // the Cluster is away: to ask for each takes long
		}
		i := slices.Index(nodes, node)
		if i < 0 {
			i = len(nodes)
			nodes, parts = append(nodes, node), append(parts, nil)
		}
		parts[i] = append(parts[i], p)
	}
	return parts
}

// sendPart sends a part of a batch and hands out the answers.
func (s *sender) sendPart(batch []*pending) {
	ctx := context.WithoutCancel(batch[0].ctx)
	for groups := grouped(batch); len(groups) > 0; {
		s.send(ctx, groups)
		var again []*group
		for _, b := range groups {
			again = append(again, b.answered()...)
		}
		groups = again
	}
}

// send sends one command, or several as a pipeline.
func (s *sender) send(ctx context.Context, groups []*group) {
	if len(groups) == 1 {
		s.process(ctx, groups[0].command)
	} else if err := s.pipeline(ctx, groups); err != nil && !isReply(err) {
		for _, b := range groups {
			if b.command.Err() == nil && b.command.Val() == nil {
				b.command.SetErr(err)
			}
		}
	}
}

// process sends one command. Where the client panics, that is the command's error, alone
// or with others.
func (s *sender) process(ctx context.Context, cmd command) {
	cmd.repeatable = s.repeats()
	if err := clients.Call(func() error { return s.client.Process(ctx, cmd) }); cmd.Err() == nil && cmd.Val() == nil {
		cmd.SetErr(err)
	}
}

// pipeline sends commands together.
func (s *sender) pipeline(ctx context.Context, groups []*group) error {
	return clients.Call(func() error {
		pipe := s.client.Pipeline()
		for _, b := range groups {
			b.command.repeatable = s.repeats()
			_ = pipe.Process(ctx, b.command)
		}
		_, err := pipe.Exec(ctx)
		return err
	})
}

// repeats reports whether the client may write commands again that are in a pipeline, as that
// of a Cluster does, which a wrapper or an AutoPipeliner may have.
func (s *sender) repeats() bool {
	switch s.client.(type) {
	case *redis.Client, *redis.Ring:
		return false
	}
	return true
}
