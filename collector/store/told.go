package store

import (
	"fmt"

	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// toldRow is a row of an update, cut into what is shared and what is the host's own.
type toldRow struct {
	facts.Item
	common, pairs []byte
	shared        bool
	id            uint32 // of its item, 0: not known yet
}

// decodeItems reads the rows of an update: each is decoded to learn its key and to
// refuse what is none, but for the part of it that is a known item.
func (tx *Tx) decodeItems(u *wire.SectionUpdate) ([]toldRow, error) {
	rows := make([]toldRow, len(u.Put))
	for i, data := range u.Put {
		r := &rows[i]
		r.Data = data
		r.common, r.pairs, r.shared = layouts[u.Section].split(data)
		if it, ok := tx.knownItem(u.Section, r.common); ok && r.shared && len(data) <= wire.MaxRow {
			own, err := wire.JoinRow(noColumns, r.pairs)
			if err == nil {
				_, err = wire.DecodeRow(u.Section, own)
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
			}
			r.Key, r.id = it.key, it.id
		} else {
			row, err := wire.DecodeRow(u.Section, data)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
			}
			r.Key = row.Key()
		}
		if i > 0 && r.Key <= rows[i-1].Key {
			return nil, fmt.Errorf("%w: row %q is not after the one before it", ErrMalformed, r.Key)
		}
	}
	return rows, nil
}

// noColumns is a row without columns, as wire encodes it.
var noColumns = []byte{0xa0}
