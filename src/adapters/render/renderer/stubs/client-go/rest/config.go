// Package rest has the one name that Helm's engine mentions: there is no cluster to reach.
package rest

// Config is never made.
type Config struct{}
