// Package proof has what two ends say about bytes: digests, and the lines that a receiver sends
// back. It moves nothing itself.
package proof
