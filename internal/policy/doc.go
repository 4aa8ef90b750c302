// Package policy has only tests. They keep the rules of the repository that the
// compiler does not:
//
//	imports_test.go  which package may import which, and what a program links
//	files_test.go    the files of a package build on one another, none back on the first
//	pages_test.go    the code in README and docs compiles, the texts and links in them exist
//	units_test.go    the unit and the CronJob of docs/operations.md work, as far as a test can tell
//	acl_test.go      the rights that docs/redis.md lists are enough for a user of the server
//	faults_test.go   docs/faults.md has every case, and every test of one
package policy
