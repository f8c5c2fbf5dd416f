// Package files opens what SRC and DST name, and makes a DST complete or leaves it alone.
//
// [Look] refuses what cannot work before anything is connected. A regular DST is written as
// DST.part beside it, created without following links and locked, and renamed when everything
// is in. The package knows names and descriptors, not options or messages of a command.
package files
