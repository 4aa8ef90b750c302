package peer

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// etcdLocker is the Mutex of go.etcd.io/etcd/client/v3/concurrency for one
// goroutine.
type etcdLocker struct{ mutex *concurrency.Mutex }

// Lock implements [Locker].
func (l etcdLocker) Lock(ctx context.Context) error { return l.mutex.Lock(ctx) }

// Unlock implements [Locker].
func (l etcdLocker) Unlock() error { return l.mutex.Unlock(context.Background()) }

// openEtcd gives every goroutine a session of its own: those that share a
// session share its place in line.
func openEtcd(_ context.Context, site Site, o Options) (*Lock, error) {
	l := &Lock{}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{site.Etcd},
		Logger:      zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(l.countCall), grpc.WithChainStreamInterceptor(l.countStream)},
	})
	if err != nil {
		return nil, err
	}
	l.onClose(client.Close)
	var options []concurrency.SessionOption
	if o.Lease > 0 {
		options = append(options, concurrency.WithTTL(max(1, int(o.Lease/time.Second))))
	}
	l.newWaiter = func(context.Context) (Locker, error) {
		session, err := concurrency.NewSession(client, options...)
		if err != nil {
			return nil, err
		}
		l.onClose(func() error { return ignoreCanceled(session.Close()) })
		return etcdLocker{concurrency.NewMutex(session, o.Name)}, nil
	}
	return l, nil
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// countCall counts a request, and notes arrivals: the first request of Lock
// puts it in line.
func (l *Lock) countCall(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	l.operations.Add(1)
	err := invoke(ctx, method, request, reply, conn, options...)
	if err == nil {
		arrived(ctx)
	}
	return err
}

// countStream counts the messages sent on a stream: watches and keep-alives.
func (l *Lock) countStream(ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, description, conn, method, options...)
	return countingStream{stream, l}, err
}

type countingStream struct {
	grpc.ClientStream
	lock *Lock
}

// SendMsg implements [grpc.ClientStream].
func (s countingStream) SendMsg(message any) error {
	s.lock.operations.Add(1)
	return s.ClientStream.SendMsg(message)
}
