// Package conformance reads the cases of the conformance corpus, lays them out on
// disk with their base images and servers, and compares what a builder made with
// what the case wants. It knows no builder: the tests of the executor run the
// cases through the executor's drivers, and command oracle, below, through other
// builders as well. docs/conformance.md describes the format.
//
// It imports nothing of what it judges.
package conformance
