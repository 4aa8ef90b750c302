//go:build linux

package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/fifolock/fifolock/internal/faulttest"
	"github.com/fifolock/fifolock/internal/redistest"
	"github.com/fifolock/fifolock/internal/testenv"
	"github.com/fifolock/fifolock/lock"
	"github.com/fifolock/fifolock/queue"
	"github.com/fifolock/fifolock/queue/queuetest"
	"github.com/fifolock/fifolock/queue/redisqueue"
)

// authority makes certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: t.Name()},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.certificate)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue writes a certificate for 127.0.0.1, valid until then, and its key, and
// returns the server's settings for them.
func (a *authority) issue(t *testing.T, serial int64, until time.Time) []string {
	t.Helper()
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     until,
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, bytes []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return []string{
		"tls-cert-file", write("certificate.pem", "CERTIFICATE", der),
		"tls-key-file", write("key.pem", "EC PRIVATE KEY", secret),
		"tls-ca-cert-file", write("authority.pem", "CERTIFICATE", a.certificate.Raw),
	}
}

// tlsServer is a server that speaks TLS at one port, and plainly at another.
type tlsServer struct {
	*redistest.Server
	secure string // host:port
}

func startTLS(t *testing.T, certificate []string) *tlsServer {
	t.Helper()
	redistest.NeedReal(t)
	if settings, err := redistest.Client(t).ConfigGet(t.Context(), "tls-port").Result(); err != nil {
		t.Fatal(err)
	} else if len(settings) == 0 {
		testenv.Unable(t, "needs a redis-server that was built with TLS (make BUILD_TLS=yes): put it first on PATH")
	}
	addr := redistest.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	args := []string{"--tls-port", port, "--tls-auth-clients", "no"}
	for i, word := range certificate {
		if i%2 == 0 {
			word = "--" + word
		}
		args = append(args, word)
	}
	return &tlsServer{redistest.StartServer(t, args...), addr}
}

// tlsClient connects to addr with TLS as configured, without if that is nil.
func tlsClient(t *testing.T, addr string, config *tls.Config, change ...func(*redis.Options)) *redis.Client {
	t.Helper()
	change = append(change, func(o *redis.Options) { o.TLSConfig = config })
	return redistest.ClientOf(t, addr, change...)
}

// impatient gives up a connection soon, and for good.
func impatient(o *redis.Options) {
	o.DialTimeout, o.DialerRetries, o.MaxRetries = faulttest.Moment, 1, -1
}

// rotate gives the server another certificate.
func (s *tlsServer) rotate(t *testing.T, certificate []string) {
	t.Helper()
	words := []any{"CONFIG", "SET"}
	for _, word := range certificate {
		words = append(words, word)
	}
	if err := s.Client().Do(t.Context(), words...).Err(); err != nil {
		t.Fatal(err)
	}
}

// A connection that cannot be made says why, at once, and leaves nothing.
func TestR32TLSFails(t *testing.T) {
	const name = "tls"
	ours, others := newAuthority(t), newAuthority(t)
	good := startTLS(t, ours.issue(t, 2, time.Now().Add(time.Hour)))
	expired := startTLS(t, ours.issue(t, 3, time.Now().Add(-time.Minute)))
	strict := startTLS(t, ours.issue(t, 6, time.Now().Add(time.Hour)))
	faulttest.Do(t, strict.Client(), "CONFIG SET tls-auth-clients yes")
	for _, c := range []struct {
		what   string
		server *tlsServer
		client *redis.Client
		is     func(error) bool
	}{
		{
			"another authority", good, tlsClient(t, good.secure, &tls.Config{RootCAs: others.pool}),
			isError[x509.UnknownAuthorityError],
		},
		{
			"expired", expired, tlsClient(t, expired.secure, &tls.Config{RootCAs: ours.pool}),
			isError[x509.CertificateInvalidError],
		},
		{
			"another host", good, tlsClient(t, good.secure, &tls.Config{RootCAs: ours.pool, ServerName: "elsewhere"}),
			isError[x509.HostnameError],
		},
		{ // the server waits for the rest of what it takes for a command
			"TLS to the plain port", good, tlsClient(t, good.Addr, &tls.Config{RootCAs: ours.pool}, impatient),
			isError[net.Error],
		},
		{
			"plain to the TLS port", good, tlsClient(t, good.secure, nil),
			hasHungUp,
		},
		{ // it is refused after the handshake, with the request under way
			"no certificate of its own", strict, tlsClient(t, strict.secure, &tls.Config{RootCAs: ours.pool}),
			isError[*net.OpError],
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			defer testenv.WantNoGoroutines(t, goleak.IgnoreCurrent())
			m := lock.New(redisqueue.New(c.client, name))
			err := m.Lock(t.Context())
			switch {
			case err == nil:
				t.Fatal("it was locked")
			case !c.is(err) || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), name):
				t.Errorf("Lock returned %v, want the reason and the lock's name", err)
			}
			if ok, err := m.TryLock(t.Context()); ok || !c.is(err) {
				t.Errorf("TryLock returned %v, %v", ok, err)
			}
			if keys := redistest.Keys(t, c.server.Client(), name); len(keys) > 0 {
				t.Errorf("left behind: %q", keys)
			}
		})
	}
}

func isError[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

// hasHungUp reports whether err says that the other side has ended a connection.
func hasHungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// A queue over TLS is like any other, the wake-ups included.
func TestR32TLS(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	server := startTLS(t, ours.issue(t, 2, time.Now().Add(time.Hour)))
	queuetest.Run(t, func(t *testing.T) queue.TicketQueue {
		return redisqueue.New(tlsClient(t, server.secure, &tls.Config{RootCAs: ours.pool}), redistest.Name(t))
	})
}

// A handshake without an answer does not outlast the ctx.
func TestR32TLSCancelled(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	server := startTLS(t, ours.issue(t, 2, time.Now().Add(time.Hour)))
	m := lock.New(redisqueue.New(tlsClient(t, server.Addr, &tls.Config{RootCAs: ours.pool}), "tls"))
	faulttest.InTheEnd(t, func() (quick bool) {
		ctx, cancel := context.WithTimeout(t.Context(), faulttest.Moment)
		defer cancel()
		began := time.Now()
		if err := m.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock returned %v, want that the ctx has ended", err)
		}
		took := time.Since(began)
		t.Logf("it took %v, with a ctx of %v", took, faulttest.Moment)
		return took <= faulttest.Moment+faulttest.Soon
	})
}

// The connections break, and the server that is there has a certificate that no client
// trusts. The holder loses the lock by its own clock, the waiter does not wait for ever,
// and both are told why. When the server is the right one again, they go on.
func TestR32TLSCertificateRefused(t *testing.T) {
	t.Parallel()
	const name, lease = "tls", faulttest.LongLease // longer than it takes to be refused
	ours, others := newAuthority(t), newAuthority(t)
	certificate := ours.issue(t, 2, time.Now().Add(time.Hour))
	server := startTLS(t, certificate)
	mutex := func() *lock.Mutex {
		client := tlsClient(t, server.secure, &tls.Config{RootCAs: ours.pool})
		return lock.New(redisqueue.New(client, name, redisqueue.WithLease(lease)))
	}
	holder, waiter := mutex(), mutex()
	faulttest.MustLock(t, holder)
	token := holder.Token()
	waiting := faulttest.Lock(t.Context(), t, waiter)
	admin := server.Client()
	faulttest.AwaitLine(t, redisqueue.New(admin, name), 2)
	server.rotate(t, others.issue(t, 5, time.Now().Add(time.Hour)))
	faulttest.Do(t, admin, "CLIENT KILL TYPE normal")
	faulttest.Do(t, admin, "CLIENT KILL TYPE pubsub")
	<-holder.Lost()
	if err := holder.Unlock(); !errors.Is(err, lock.ErrLost) || !isError[x509.UnknownAuthorityError](err) {
		t.Errorf("Unlock of the holder returned %v, want ErrLost and the certificate", err)
	}
	if err := waiting.Returned(); !isError[x509.UnknownAuthorityError](err) {
		t.Errorf("Lock of the waiter returned %v, want the certificate", err)
	}

	server.rotate(t, certificate)
	for _, m := range []*lock.Mutex{waiter, holder} {
		// The pool answers with the error of before until it has tried again by itself.
		err := m.Lock(t.Context())
		for isError[x509.UnknownAuthorityError](err) {
			err = m.Lock(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Token() <= token {
			t.Errorf("token %d comes after %d", m.Token(), token)
		}
		token = m.Token()
		faulttest.MustUnlock(t, m)
	}
	if keys := redistest.Keys(t, admin, name); len(keys) > 0 {
		t.Errorf("left behind: %q", keys)
	}
}

// The server gets another certificate while the lock is held and waited for. A client
// that is connected goes on. A client that comes is shown the new one, and refuses it if
// it is of an authority that it does not trust.
func TestR32TLSCertificateRotated(t *testing.T) {
	t.Parallel()
	faulttest.WithLease(t, 2*time.Second, func(lease time.Duration) bool { return r32CertificateRotated(t, lease) })
}

// r32CertificateRotated reports whether the two in line have kept their leases.
func r32CertificateRotated(t *testing.T, lease time.Duration) (kept bool) {
	t.Helper()
	const name = "tls"
	ours, others := newAuthority(t), newAuthority(t)
	server := startTLS(t, ours.issue(t, 2, time.Now().Add(time.Hour)))
	var serial atomic.Int64 // of the certificate that was seen last
	mutex := func() *lock.Mutex {
		client := tlsClient(t, server.secure, &tls.Config{
			RootCAs: ours.pool,
			VerifyConnection: func(s tls.ConnectionState) error {
				serial.Store(s.PeerCertificates[0].SerialNumber.Int64())
				return nil
			},
		})
		return lock.New(redisqueue.New(client, name, redisqueue.WithLease(lease)))
	}
	holder := mutex()
	faulttest.MustLock(t, holder)
	lost := holder.Lost()

	server.rotate(t, ours.issue(t, 4, time.Now().Add(time.Hour)))
	next := mutex()
	waiting := faulttest.Lock(t.Context(), t, next)
	inLine := redisqueue.New(server.Client(), name)
	if !faulttest.AwaitLineBehind(t, holder, inLine, 2) {
		return false
	}
	members := func() []queue.Member {
		members, err := inLine.Members(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return members
	}
	if n := serial.Load(); n != 4 {
		t.Errorf("a new client was shown certificate %d, want 4", n)
	}

	server.rotate(t, others.issue(t, 5, time.Now().Add(time.Hour)))
	seen := members()
	for i := range 2 { // both are still heard of
		for {
			now := members()
			if len(seen) < 2 || len(now) < 2 || now[i].Ticket.Number != seen[i].Ticket.Number {
				return false
			}
			if now[i].LastSeen.After(seen[i].LastSeen) {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	if err := mutex().Lock(t.Context()); !isError[x509.UnknownAuthorityError](err) {
		t.Errorf("a client that does not trust the certificate got %v", err)
	}
	select {
	case <-lost:
		return false
	default:
	}
	if !faulttest.MutexUnlocked(t, holder) {
		return false
	}
	waiting.Granted()
	if !faulttest.MutexUnlocked(t, next) {
		return false
	}
	if keys := redistest.Keys(t, server.Client(), name); len(keys) > 0 {
		t.Errorf("left behind: %q", keys)
	}
	return true
}
