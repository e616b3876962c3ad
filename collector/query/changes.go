package query

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"modernc.org/sqlite/vtab"

	"atalaya/collector/api/v1"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// Columns of the table changes.
const (
	changeSeq = iota
	changeHostID
	changeHost
	changeSection
	changeKind
	changeItem
	changeOld
	changeNew
	changeAt
	changeObserved
	changeReceived
	changeRows
	changeOldVersion
	changeNewVersion
	changeExactAt
)

func changesTable() Table {
	t := Table{
		Name: "changes", Doc: "what became different on hosts, for as long as history is kept; of a moment: up to then", Past: true,
		Columns: []TableColumn{
			{Name: "seq", Type: "INTEGER", Doc: "number in the log"},
			hostColumns[0], hostColumns[1],
			{Name: "section", Type: "TEXT", Key: true},
			{Name: "kind", Type: "TEXT", Doc: "added, changed, removed, status, baseline (the first reading), cleared"},
			{Name: "item", Type: "TEXT", Doc: "key of the row; its parts with spaces between"},
			{Name: "old", Type: "TEXT", Doc: "the row before, JSON"},
			{Name: "new", Type: "TEXT", Doc: "the row after, JSON"},
			{Name: "at", Type: "TEXT", Doc: "when it came about, by the collector's clock", Range: true},
			{Name: "observed_at", Type: "TEXT", Doc: "by the host's clock"},
			{Name: "received_at", Type: "TEXT", Doc: "by the collector's clock"},
			{Name: "row_count", Type: "INTEGER", Doc: "of a baseline or a clearing"},
			{Name: "old_version", Type: "TEXT", Doc: "column version of the row before; far quicker than old ->> 'version'"},
			{Name: "new_version", Type: "TEXT", Doc: "column version of the row after"},
			{Name: "exact_at", Type: "TEXT", Doc: "at, with milliseconds: the moment of packages(exact_at) is that of this change"},
		},
	}
	t.Scan = Rows(len(t.Columns), func(s Scan, row []any, yield func() error) error {
		if _, err := s.State(); err != nil { // is there such a moment?
			return err
		}
		q := store.FleetQuery{ChangeQuery: store.ChangeQuery{CameTo: s.AsOf, Bare: !s.Wants(changeOld) && !s.Wants(changeNew)}}
		if name, ok := s.Filter[changeSection]; ok {
			sec, ok := facts.ByName(name)
			if !ok {
				return nil
			}
			q.Section = sec.ID
		}
		if above, ok := s.Above[changeAt]; ok { // what was received before did not come about after
			if at, _, err := v1.ParseMoment(above, s.session.now); err == nil {
				q.From, q.CameFrom = at.Add(-time.Second), at.Add(-time.Second)
			}
		}
		if below, ok := s.Below[changeAt]; ok {
			if at, _, err := v1.ParseMoment(below, s.session.now); err == nil && (q.CameTo.IsZero() || at.Before(q.CameTo)) {
				q.CameTo = at.Add(time.Second) // tables show whole seconds
			}
		}
		for _, c := range s.conditions {
			if kind, ok := c.value.(string); ok && c.column == changeKind && c.use == conditions[vtab.OpEQ] {
				q.Kind = kind
			}
		}
		return s.eachChange(q, func(c store.Change) error {
			if err := fillChange(&s, row, &c); err != nil {
				return err
			}
			return yield()
		})
	})
	return t
}

// fewHosts is up to how many hosts changes are read from the logs of each.
const fewHosts = 8

// eachChange calls fn for the changes of the hosts that the query names, or of all.
func (q *Scan) eachChange(of store.FleetQuery, fn func(store.Change) error) error {
	indexes, only, err := q.Hosts(changeHostID)
	if err != nil {
		return err
	}
	if only && len(indexes) > fewHosts {
		set := store.HostSetOf(indexes...)
		of.Hosts = &set
	}
	if !only || of.Hosts != nil {
		return q.Tx().ChangesBetween(of, fn)
	}
	for _, index := range indexes {
		id, _, err := q.Tx().HostByIndex(index)
		if err == nil {
			err = q.Tx().HostChanges(id, of.ChangeQuery, fn)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fillChange writes the columns that are wanted.
func fillChange(s *Scan, row []any, c *store.Change) error {
	clear(row)
	if s.Wants(changeHostID) || s.Wants(changeHost) {
		index, err := s.session.index(c.Host)
		if err != nil {
			return err
		}
		h, err := s.session.host(index)
		if err != nil {
			return err
		}
		row[changeHostID], row[changeHost] = h.id, h.name
	}
	if s.Wants(changeSeq) {
		row[changeSeq] = int64(c.Seq)
	}
	row[changeSection], row[changeKind] = c.Section.String(), c.Kind.String()
	if c.Rows > 0 {
		row[changeRows] = int64(c.Rows)
	}
	if s.Wants(changeAt) {
		row[changeAt] = s.session.time(c.At)
	}
	if s.Wants(changeExactAt) {
		row[changeExactAt] = v1.FormatMoment(c.At)
	}
	if s.Wants(changeObserved) {
		row[changeObserved] = s.session.time(c.Observed)
	}
	if s.Wants(changeReceived) {
		row[changeReceived] = s.session.time(c.Received)
	}
	if s.Wants(changeItem) {
		it := s.session.changedItem(max(c.OldItem, c.NewItem))
		if it.key == nil {
			it.key = text(strings.Join(facts.KeyParts(c.Key), " "))
		}
		row[changeItem] = it.key
	}
	var err error
	if row[changeOld], row[changeOldVersion], err = s.side(c, c.OldItem, c.Old, changeOld, changeOldVersion); err != nil {
		return err
	}
	row[changeNew], row[changeNewVersion], err = s.side(c, c.NewItem, c.New, changeNew, changeNewVersion)
	return err
}

// changedItem is what a query asks again and again of an item that many hosts came to.
type changedItem struct {
	key           any // as the column item has it
	json, version any
	// hasJSON and hasVersion tell whether these were looked for.
	hasJSON, hasVersion bool
}

// changedItem returns what is known of an item; 0: a row of one host alone.
func (s *session) changedItem(id uint32) *changedItem {
	it := s.changed[id]
	if it == nil {
		it = &changedItem{}
		if id != 0 && len(s.changed) < maxKnown {
			s.changed[id] = it
		}
	}
	return it
}

// side returns the columns of one side of a change that are wanted.
func (s *Scan) side(c *store.Change, id uint32, data []byte, jsonColumn, versionColumn int) (doc, version any, err error) {
	if data == nil {
		return nil, nil, nil
	}
	if s.Wants(versionColumn) {
		it := s.session.changedItem(id)
		if !it.hasVersion {
			if it.version, err = changeVersion(c, data); err != nil {
				return nil, nil, err
			}
			it.hasVersion = true
		}
		version = it.version
	}
	if s.Wants(jsonColumn) {
		if len(store.HostColumns(c.Section)) > 0 {
			id = 0 // the row is more than the item
		}
		it := s.session.changedItem(id)
		if !it.hasJSON {
			if it.json, err = changeText(c, data); err != nil {
				return nil, nil, err
			}
			it.hasJSON = true
		}
		doc = it.json
	}
	return doc, version, nil
}

// changeVersion is the column version of one side of a change; nil: it has none.
func changeVersion(c *store.Change, data []byte) (any, error) {
	switch c.Kind {
	case store.StatusChanged, store.Baseline, store.Cleared:
		return nil, nil
	}
	row, err := wire.DecodeRow(c.Section, data)
	if err != nil {
		return nil, err
	}
	v := reflect.ValueOf(row).Elem().FieldByName("Version")
	if !v.IsValid() || v.Kind() != reflect.String {
		return nil, nil
	}
	return text(v.String()), nil
}

// changeText is one side of a change, as JSON.
func changeText(c *store.Change, data []byte) (any, error) {
	var doc any
	switch c.Kind {
	case store.StatusChanged, store.Baseline, store.Cleared:
		status, reason := store.DecodeStatus(data)
		doc = map[string]string{"status": status.String(), "reason": reason}
	default:
		var err error
		if doc, err = wire.DecodeRow(c.Section, data); err != nil {
			return nil, err
		}
	}
	b, err := json.Marshal(doc)
	return string(b), err
}
