//go:build !linux

package agent

// CoalesceTimers does nothing here: this system has no such setting, or sets it itself.
func CoalesceTimers() {}
