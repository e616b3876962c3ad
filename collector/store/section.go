package store

import (
	"encoding/binary"
	"slices"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// Sections returns the states of the sections that a host ever reported, by number.
func (tx *Tx) Sections(id identity.HostID) ([]SectionState, error) {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return nil, err
	}
	return tx.sections(rec.Index)
}

func (tx *Tx) sections(index uint32) ([]SectionState, error) {
	key := indexKey(index)
	v, err := tx.Table(tableSections).Get(key)
	if err != nil || v == nil {
		return nil, err
	}
	states, ok := decodeSections(v)
	if !ok {
		return nil, &CorruptError{Table: tableSections, Key: key, Detail: "not decodable"}
	}
	return states, nil
}

func (tx *Tx) putSections(index uint32, states []SectionState) error {
	return tx.Table(tableSections).Put(indexKey(index), encodeSections(states))
}

// doubtAll marks all sections of all hosts so that they are asked for as a whole.
func (tx *Tx) doubtAll() error {
	var indexes []uint32
	err := tx.Table(tableSections).Scan(nil, func(k, _ []byte) error {
		indexes = append(indexes, binary.BigEndian.Uint32(k))
		return nil
	})
	if err != nil {
		return err
	}
	for _, index := range indexes {
		states, err := tx.sections(index)
		if err != nil {
			return err
		}
		for i := range states {
			states[i].Doubtful = true
		}
		if err := tx.putSections(index, states); err != nil {
			return err
		}
	}
	return nil
}

// bySection is the order in which the states of a host are kept.
func bySection(a, b SectionState) int { return int(a.Section) - int(b.Section) }

// stateOf returns the place of a section among the states, adding it when it is new.
func stateOf(states []SectionState, id facts.ID) ([]SectionState, int) {
	i, ok := slices.BinarySearchFunc(states, SectionState{Section: id}, bySection)
	if !ok {
		states = slices.Insert(states, i, SectionState{Section: id})
	}
	return states, i
}

// encodeSections gives for each section: number, status, flags, times relative to
// those before, digest, number of rows, change number, reason.
func encodeSections(states []SectionState) []byte {
	var b []byte
	last := facts.Time(0)
	for _, s := range states {
		observed, known, at := facts.TimeOf(s.ObservedAt), facts.TimeOf(s.KnownAt), facts.TimeOf(s.At)
		b = binary.AppendUvarint(b, uint64(s.Section))
		b = append(b, byte(s.Status), boolByte(s.Doubtful))
		b = binary.AppendVarint(b, int64(observed-last))
		b = binary.AppendVarint(b, int64(known-observed))
		b = binary.AppendVarint(b, int64(at-observed))
		last = observed
		b = binary.BigEndian.AppendUint64(b, uint64(s.Digest))
		b = binary.AppendUvarint(b, uint64(s.Rows))
		b = binary.AppendUvarint(b, s.Since)
		b = binary.AppendUvarint(b, uint64(len(s.Reason)))
		b = append(b, s.Reason...)
	}
	return b
}

// decodeSections undoes encodeSections; each section may stand there once, in order.
func decodeSections(v []byte) (states []SectionState, ok bool) {
	d := decoder{b: v}
	last := facts.Time(0)
	for len(d.b) > 0 && !d.bad {
		s := d.section(&last)
		d.bad = d.bad || len(states) > 0 && bySection(states[len(states)-1], s) >= 0
		states = append(states, s)
	}
	return states, !d.bad
}

// section reads the next state; last is the moment that its times are relative to.
func (d *decoder) section(last *facts.Time) SectionState {
	s := SectionState{Section: facts.ID(d.uvarint()), Status: facts.Status(d.byte())}
	s.Doubtful = d.byte() != 0
	*last += facts.Time(d.varint())
	s.ObservedAt = last.Time()
	s.KnownAt = (*last + facts.Time(d.varint())).Time()
	s.At = (*last + facts.Time(d.varint())).Time()
	s.Digest = facts.Digest(d.uint64())
	s.Rows = int(d.uvarint())
	s.Since = d.uvarint()
	s.Reason = string(d.bytes())
	return s
}

// section returns the state of one section of a host, the zero one when it was never
// reported. Lists ask it of many hosts: it allocates next to nothing.
func (tx *Tx) section(index uint32, id facts.ID) (SectionState, error) {
	key := indexKey(index)
	v, err := tx.Table(tableSections).Get(key)
	if err != nil || v == nil {
		return SectionState{}, err
	}
	d := decoder{b: v}
	last := facts.Time(0)
	for len(d.b) > 0 && !d.bad {
		if s := d.section(&last); s.Section == id && !d.bad {
			return s, nil
		}
	}
	if d.bad {
		return SectionState{}, &CorruptError{Table: tableSections, Key: key, Detail: "not decodable"}
	}
	return SectionState{}, nil
}
