// Package benchmarks measures maskinporten beside what others use for the same
// work, breaks the network under it, and holds it under load for a minute.
//
//	go test -bench=. -benchmem    the benchmarks
//	go test                       the tests, in short form
//	go run ./report               all of it, ten times where time is measured, into RESULTS.md
//
// It is a module of its own, so that nothing it needs reaches an importer of
// the library. No test fails on a time: RESULTS.md says which targets are met.
package benchmarks
