// Package policy has only tests. They keep the rules of the repository that the
// compiler does not:
//
//	imports_test.go  which package may import which, and what a program links
//	readme_test.go   the README's code compiles, its texts and links exist
//	acl_test.go      the README's rights are enough for a user of the server
//	faults_test.go   docs/faults.md has every case, and every test of one
package policy
