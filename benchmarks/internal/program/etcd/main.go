// Etcd locks a Mutex of etcd once.
package main

import (
	"context"
	"log"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func main() {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Args[1]}})
	if err != nil {
		log.Fatal(err)
	}
	session, err := concurrency.NewSession(client)
	if err != nil {
		log.Fatal(err)
	}
	m := concurrency.NewMutex(session, "name")
	if err := m.Lock(context.Background()); err != nil {
		log.Fatal(err)
	}
	if err := m.Unlock(context.Background()); err != nil {
		log.Fatal(err)
	}
}
