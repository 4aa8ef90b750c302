package server

import (
	"context"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// startEtcd starts one node. Its data is on the same tmpfs as the files of the
// file locks: it waits for no disk.
func startEtcd(dir string) (*running, error) {
	path, err := find("etcd")
	if err != nil {
		return nil, err
	}
	p, addr, err := onFreePort(func(port string) (*process, error) {
		peers, err := freePort()
		if err != nil {
			return nil, err
		}
		client, peer := "http://127.0.0.1:"+port, "http://127.0.0.1:"+peers
		p, err := start("etcd", filepath.Join(dir, "etcd.log"), nil,
			path, "--data-dir", filepath.Join(dir, "etcd-"+port), "--logger", "zap", "--log-level", "error",
			"--listen-client-urls", client, "--advertise-client-urls", client,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
		if err != nil {
			return nil, err
		}
		return p, p.await(func() error { return etcdAnswers("127.0.0.1:" + port) })
	})
	if err != nil {
		return nil, err
	}
	return &running{process: p, addr: addr, version: version(path)}, nil
}

func etcdAnswers(addr string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{addr}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err = client.Get(ctx, "ready")
	return err
}
