package asset

import "slices"

// steps is the life cycle: what an asset of a status may become. Retired is the way out
// of use; only what is retired is disposed of. Going back from disposed corrects a
// mistake and needs a reason.
var steps = []struct {
	status string
	next   []string
}{
	{"planned", []string{"in_stock", "in_use"}},
	{"in_stock", []string{"in_use", "in_repair", "retired"}},
	{"in_use", []string{"in_stock", "in_repair", "retired"}},
	{"in_repair", []string{"in_stock", "in_use", "retired"}},
	{"retired", []string{"in_stock", statusDisposed}},
	{statusDisposed, []string{"retired"}},
}

const statusDisposed = "disposed"

func statuses() []string {
	var out []string
	for _, s := range steps {
		out = append(out, s.status)
	}
	return out
}

func nextOf(status string) []string {
	for _, s := range steps {
		if s.status == status {
			return s.next
		}
	}
	return nil
}

// checkStep refuses a step that the life cycle does not have, and names the first one of
// the way there. An asset without a status may begin anywhere.
func checkStep(from, to, why string) error {
	switch {
	case from == "" || from == to:
		return nil
	case to == "":
		return conflictf("status %s cannot be taken away: an asset in the life cycle stays in it", from)
	case from == statusDisposed && why == "":
		return conflictf("status: what is disposed comes back only as the correction of a mistake: give --reason and set status=retired")
	case slices.Contains(nextOf(from), to):
		return nil
	}
	way := wayTo(from, to)
	if len(way) == 0 {
		return conflictf("status: nothing becomes %s again that was %s: add a new asset", to, from)
	}
	return conflictf("status: %s cannot become %s at once: set status=%s first", from, to, way[0])
}

// wayTo is the shortest way through the life cycle, without its beginning.
func wayTo(from, to string) []string {
	ways := [][]string{{from}}
	seen := map[string]bool{from: true}
	for len(ways) > 0 {
		way := ways[0]
		ways = ways[1:]
		for _, next := range nextOf(way[len(way)-1]) {
			if next == to {
				return append(way[1:len(way):len(way)], next)
			}
			if !seen[next] {
				seen[next] = true
				ways = append(ways, append(way[:len(way):len(way)], next))
			}
		}
	}
	return nil
}
