// Package benchmarks measures maskinporten beside what others use for the same
// work, breaks the network under it, and holds it under load for a minute.
//
//	go test -bench=. -benchmem    the benchmarks
//	go test                       the tests, in short form
//	go run ./report               all of it, ten times where time is measured, into RESULTS.md
//	go run ./soak -for 10m        everything fails around one client, and each call is held to the promises
//	go run ./faults -old f4988f2  what one fault after the other does to an older revision and to this one
//
// It is a module of its own, so that nothing it needs reaches an importer of
// the library. No test fails on a time: RESULTS.md says which targets are met.
package benchmarks
