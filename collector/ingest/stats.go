package ingest

import (
	"maps"
	"sync"
	"sync/atomic"

	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// counters run from the start of the server.
type counters struct {
	sessions, batches, duplicates, bytes, rejected, commits, panics, replaced atomic.Uint64

	mu     sync.Mutex // guards byCode
	byCode map[wire.Code]uint64
}

func (c *counters) refused(code wire.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byCode == nil {
		c.byCode = make(map[wire.Code]uint64)
	}
	if len(c.byCode) < 64 { // codes are a closed list
		c.byCode[code]++
	}
}

// Stats are what a server has done since it started.
type Stats struct {
	Connected  int    // sessions now
	Sessions   uint64 // accepted
	Replaced   uint64 // ended by a newer one of the same host
	Batches    uint64 // durable
	Duplicates uint64 // of those, taken before
	Rejected   uint64 // of those, refused for good by the store
	Bytes      uint64 // of batches, inflated
	Commits    uint64 // groups of batches
	Panics     uint64
	Refused    map[wire.Code]uint64 // connections and streams ended, by reason
	// Clones are hosts of whom two live machines seem to share the key.
	Clones []identity.HostID
}

// Stats returns the present state.
func (s *Server) Stats() Stats {
	c := &s.counters
	st := Stats{Sessions: c.sessions.Load(), Replaced: c.replaced.Load(), Batches: c.batches.Load(), Duplicates: c.duplicates.Load(),
		Rejected: c.rejected.Load(), Bytes: c.bytes.Load(), Commits: c.commits.Load(), Panics: c.panics.Load()}
	c.mu.Lock()
	st.Refused = maps.Clone(c.byCode)
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Connected = s.sessions
	for id, h := range s.hosts {
		if h.clone {
			st.Clones = append(st.Clones, id)
		}
	}
	return st
}
