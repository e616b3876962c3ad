package wire

import (
	"fmt"
	"unicode/utf8"

	"atalaya/shared/facts"
)

// EncodeRow returns the canonical encoding of a row: equal rows have equal bytes.
// It refuses a row that is larger than MaxRow, has a key longer than MaxKey, or
// holds text that is not UTF-8: probes repair text where they read it.
func EncodeRow(row facts.Row) ([]byte, error) {
	data, err := encMode.Marshal(row)
	if err != nil {
		return nil, fmt.Errorf("encode row: %w", err)
	}
	if err := checkRow(row.Key(), data); err != nil {
		return nil, fmt.Errorf("encode row %.100q: %w", row.Key(), err)
	}
	return data, nil
}

func checkRow(key string, data []byte) error {
	if err := within("row", field{"key", len(key), MaxKey}, field{"encoding", len(data), MaxRow}); err != nil {
		return err
	}
	for len(data) > 0 {
		major, arg, n := cborHead(data)
		if n == 0 {
			return fmt.Errorf("%w: CBOR head", ErrMalformed)
		}
		data = data[n:]
		if major != majorText && major != majorBytes {
			continue
		}
		if major == majorText && !utf8.Valid(data[:arg]) {
			return fmt.Errorf("%w: text %.100q is not UTF-8", ErrMalformed, data[:arg])
		}
		data = data[arg:]
	}
	return nil
}

// DecodeRow is the inverse of EncodeRow. Columns that this version does not know
// are skipped; a section it does not know is ErrMalformed.
func DecodeRow(section facts.ID, data []byte) (facts.Row, error) {
	s, ok := facts.ByID(section)
	if !ok {
		return nil, fmt.Errorf("%w: unknown section %d", ErrMalformed, section)
	}
	if len(data) > MaxRow {
		return nil, fmt.Errorf("%w: row of %d bytes, limit %d", ErrTooLarge, len(data), MaxRow)
	}
	row := s.New()
	if err := unmarshal(data, row); err != nil {
		return nil, fmt.Errorf("decode row of %s: %w", s.Name, err)
	}
	if n := len(row.Key()); n > MaxKey {
		return nil, fmt.Errorf("%w: key of %d bytes in %s, limit %d", ErrTooLarge, n, s.Name, MaxKey)
	}
	return row, nil
}

// Items returns rows in the form in which they are compared and stored, in the
// same order. It fails at the first row that cannot be encoded.
func Items(rows []facts.Row) ([]facts.Item, error) {
	items := make([]facts.Item, len(rows))
	for i, row := range rows {
		data, err := EncodeRow(row)
		if err != nil {
			return nil, err
		}
		items[i] = facts.Item{Key: row.Key(), Data: data}
	}
	return items, nil
}
