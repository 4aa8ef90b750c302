// Postgres takes an advisory lock once.
package main

import (
	"context"
	"log"
	"os"

	"github.com/jackc/pgx/v5"
)

func main() {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for _, query := range []string{"select pg_advisory_lock(1)", "select pg_advisory_unlock(1)"} {
		if _, err := conn.Exec(ctx, query); err != nil {
			log.Fatal(err)
		}
	}
}
