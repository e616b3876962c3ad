package store

// ViewVersion returns which version of a view's tables is in the file, 0 when they must
// be made anew. It is for views over other records than the change log; those over the
// log are Followers. Repair sets it to 0 after damage to a table of the view.
func (tx *Tx) ViewVersion(view string) (uint64, error) { return tx.meta("view." + view) }

// SetViewVersion notes that the tables of a view are whole.
func (tx *Tx) SetViewVersion(view string, version uint64) error {
	return tx.putMeta("view."+view, version)
}
