// Package rate keeps bytes to a rate: a [Limiter] for one pump, and a [Share] of one for each
// of many. It knows no descriptors and never sleeps; the driver does.
package rate
