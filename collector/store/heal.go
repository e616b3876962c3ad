package store

import (
	"slices"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// heal makes the states of a host's sections anew after they were damaged. The rows
// stay: they agree with the change log, and the whole sections that are asked for are
// compared with them, so that the log tells only of what really differs. Until those
// have come the status is unknown and the sections are doubtful.
func (a *applier) heal(id identity.HostID, h *applying, damage error) error {
	a.tx.store.log.Error("damaged states of a host's sections made anew from its rows, all sections are asked for again",
		"host", id.String(), "err", damage)
	var states []SectionState
	var ids []facts.ID
	for _, section := range facts.Sections() {
		rows, err := a.storedRows(h, section.ID)
		if err != nil {
			return err
		}
		ids = append(ids, section.ID)
		if len(rows) == 0 {
			continue // never reported, or empty: both are a digest of nothing
		}
		items := make([]facts.Item, len(rows))
		for i, r := range rows {
			items[i] = r.Item
		}
		var i int
		states, i = stateOf(states, section.ID)
		states[i].Rows, states[i].Digest, states[i].Doubtful = len(items), facts.DigestOf(items), true
	}
	if err := a.tx.Table(tableSections).recount(); err != nil {
		return err
	}
	h.states, h.statesDirty, h.resync = states, true, ids
	return nil
}

// mend removes a damaged record. The sum of its table is made anew, because the
// checksum by which it would be taken out may be what is damaged.
func (tx *Tx) mend(table string, key []byte) error {
	tx.forgetItems()
	if err := tx.Table(table).Delete(key); err != nil {
		return err
	}
	return tx.Table(table).recount()
}

// state returns what is known of a section.
func (h *applying) state(section facts.ID) SectionState {
	for _, s := range h.states {
		if s.Section == section {
			return s
		}
	}
	return SectionState{Section: section}
}

// doubt marks a section to be asked for as a whole.
func (a *applier) doubt(h *applying, section facts.ID) {
	i := slices.IndexFunc(h.states, func(s SectionState) bool { return s.Section == section })
	if i >= 0 {
		h.states[i].Doubtful, h.statesDirty = true, true
		a.tx.store.askAnew(h.rec.Index)
	}
}
