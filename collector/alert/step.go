package alert

import "time"

// timing is what the state machine knows of a rule and a moment.
type timing struct {
	now        time.Time
	hold       time.Duration // for
	keepFiring time.Duration // keep_firing_for
	// unseen is how long nothing was evaluated before now, beyond one interval.
	unseen time.Duration
	// settling: after such a gap agents are still sending what they kept, so that a
	// missing result does not yet say that the condition is over.
	settling bool
}

// step is the state machine of an alert: it returns the next state of a, which is
// nil for a label set that was not active. Nil comes back for an alert that is over
// without having fired. holds is what the rule says now.
//
//	               holds                  holds for `for`
//	(none) ----------------> pending ----------------------> firing <--+ holds, or
//	   ^                        |                               |  |    | keep_firing_for
//	   +---- does not hold -----+        does not hold          |  +---+ runs
//	                                                            v
//	                                                         resolved
func step(a *Alert, holds bool, t timing) *Alert {
	if a == nil {
		if !holds {
			return nil
		}
		a = &Alert{State: Pending, ActiveAt: t.now, HeldFrom: t.now}
	} else {
		next := *a
		a = &next
		a.HeldFrom = earlier(a.HeldFrom.Add(t.unseen), t.now)
		a.SeenAt = earlier(a.SeenAt.Add(t.unseen), t.now)
		if !holds {
			return missing(a, t)
		}
	}
	a.SeenAt = t.now
	if a.State == Pending && t.now.Sub(a.HeldFrom) >= t.hold {
		a.State = Firing
		a.FiredAt = t.now
	}
	return a
}

// missing is the step of an active alert whose rule does not hold.
func missing(a *Alert, t timing) *Alert {
	switch {
	case t.settling:
		return a
	case a.State == Pending:
		return nil
	case t.now.Sub(a.SeenAt) < t.keepFiring:
		return a
	}
	a.State = Resolved
	a.ResolvedAt = t.now
	return a
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
