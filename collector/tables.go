package collector

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"atalaya/collector/alert"
	"atalaya/collector/cmdb"
	"atalaya/collector/query"
	"atalaya/collector/series"
	"atalaya/collector/store"
)

// SQL reads the store by itself; the tables of this file are what the views, the
// alerts and the metrics add.
func (c *collector) tables() []query.Table {
	return []query.Table{cisTable(), relationsTable(), identityEventsTable(), c.alertsTable(), c.samplesTable(), assetsTable(), assetHistoryTable(), assetFieldsTable()}
}

func cisTable() query.Table {
	const ci, class, host = 0, 1, 3
	return query.Table{
		Name: "cis", Doc: "configuration items, those that are gone too", Rows: 1_000_000,
		Columns: []query.TableColumn{
			{Name: "ci", Type: "TEXT", Doc: "id", Key: true}, {Name: "class", Type: "TEXT", Key: true}, {Name: "name", Type: "TEXT"},
			{Name: "host_id", Type: "TEXT", Doc: "host it belongs to", Key: true}, {Name: "host", Type: "TEXT", Key: true},
			{Name: "present", Type: "INTEGER", Doc: "0: it is gone"}, {Name: "first_seen", Type: "TEXT"}, {Name: "last_seen", Type: "TEXT"},
			{Name: "attributes", Type: "TEXT", Doc: "JSON object"},
		},
		Scan: query.Rows(9, func(s query.Scan, row []any, yield func() error) error {
			q := cmdb.ItemQuery{ID: s.Filter[ci]}
			if name, ok := s.Filter[class]; ok {
				if q.Class, ok = cmdb.ClassByName(name); !ok {
					return nil
				}
			}
			var err error
			if q.Hosts, err = hostSet(&s, host); err != nil {
				return err
			}
			return cmdb.Items(s.Tx(), q, func(it cmdb.Item) error {
				attributes, err := json.Marshal(it.Attributes)
				if err != nil {
					return err
				}
				copy(row, []any{it.ID, it.Class.String(), it.Name, nil, nil, it.Present, query.Time(it.FirstSeen), query.Time(it.LastSeen), string(attributes)})
				if it.Host != nil {
					row[3], row[4] = it.Host.ID.String(), it.Host.Name
				}
				return yield()
			})
		}),
	}
}

func relationsTable() query.Table {
	const ci, relation, target, first, host = 0, 1, 2, 3, 4
	return query.Table{
		Name: "relations", Doc: "relations between configuration items", Past: true, Rows: 10_000_000,
		Columns: []query.TableColumn{
			{Name: "ci", Type: "TEXT", Doc: "source", Key: true}, {Name: "relation", Type: "TEXT", Key: true}, {Name: "target", Type: "TEXT", Key: true},
			{Name: "first_seen", Type: "TEXT", Doc: "since when it holds; read from the log, which takes longer"},
			{Name: "host_id", Type: "TEXT", Doc: "host that says it", Key: true}, {Name: "host", Type: "TEXT", Doc: "its name", Key: true},
		},
		Scan: query.Rows(6, func(s query.Scan, row []any, yield func() error) error {
			state, err := s.State()
			if err != nil {
				return err
			}
			q := cmdb.EdgeQuery{From: s.Filter[ci], To: s.Filter[target], Relation: s.Filter[relation], FirstSeen: s.Wants(first)}
			if q.Hosts, err = hostSet(&s, host); err != nil {
				return err
			}
			of, id := uint32(0), any(nil)
			return cmdb.Edges(s.Tx(), state, q, func(e cmdb.Edge) error {
				if s.Wants(host) && of != e.Host.Index {
					of, id = e.Host.Index, e.Host.ID.String()
				}
				copy(row, []any{e.From, e.Relation, e.To, query.Time(e.FirstSeen), id, e.Host.Name})
				return yield()
			})
		}),
	}
}

// hostSet is the set of the hosts that a query names, nil when it names none.
func hostSet(s *query.Scan, column int) (*store.HostSet, error) {
	indexes, only, err := s.Hosts(column)
	if err != nil || !only {
		return nil, err
	}
	set := store.HostSetOf(indexes...)
	return &set, nil
}

func (c *collector) alertsTable() query.Table {
	return query.Table{
		Name: "alerts", Doc: "alerts that are pending or firing", Rows: 1000,
		Columns: []query.TableColumn{
			{Name: "alert", Type: "TEXT", Doc: "fingerprint"}, {Name: "rule", Type: "TEXT"}, {Name: "state", Type: "TEXT"},
			{Name: "host", Type: "TEXT"}, {Name: "severity", Type: "TEXT"}, {Name: "summary", Type: "TEXT"}, {Name: "value", Type: "REAL"},
			{Name: "active_at", Type: "TEXT"}, {Name: "fired_at", Type: "TEXT"}, {Name: "labels", Type: "TEXT", Doc: "JSON object"},
		},
		Scan: query.Rows(10, func(_ query.Scan, row []any, yield func() error) error {
			for _, a := range c.alerts.List(alert.Filter{}) {
				labels, err := json.Marshal(a.Labels)
				if err != nil {
					return err
				}
				copy(row, []any{
					a.Fingerprint, a.Rule, string(a.State), a.Labels["host"], a.Labels["severity"], a.Annotations["summary"], float64(a.Value),
					query.Time(a.ActiveAt), query.Time(a.FiredAt), string(labels),
				})
				if err := yield(); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// samplesTable gives the newest sample of series. A metric must be named: all of a
// fleet's series are millions.
func (c *collector) samplesTable() query.Table {
	const name, host = 0, 1
	return query.Table{
		Name: "samples", Doc: "last value of a metric; needs metric = 'NAME'", Past: true, Rows: 1_000_000,
		Columns: []query.TableColumn{
			{Name: "metric", Type: "TEXT", Key: true}, {Name: "host", Type: "TEXT", Key: true}, {Name: "host_id", Type: "TEXT"},
			{Name: "value", Type: "REAL"}, {Name: "at", Type: "TEXT"}, {Name: "labels", Type: "TEXT", Doc: "JSON object of the others"},
		},
		Scan: query.Rows(6, func(s query.Scan, row []any, yield func() error) error {
			metricName, ok := s.Filter[name]
			if !ok {
				return fmt.Errorf("%w: samples: name a metric, as in: where metric = 'node_load1'", query.ErrQuery)
			}
			selector := "{__name__=" + strconv.Quote(metricName)
			if h, ok := s.Filter[host]; ok {
				selector += ",host=" + strconv.Quote(h)
			}
			at := s.AsOf
			if at.IsZero() {
				at = time.Now()
			}
			v, err := c.series.Instant(s.Context(), selector+"}", at)
			if err != nil {
				return err
			}
			for _, sample := range v {
				if err := fillSample(row, sample); err != nil {
					return err
				}
				if err := yield(); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func fillSample(row []any, sample series.Sample) error {
	others := map[string]string{}
	clear(row)
	for _, l := range sample.Labels {
		switch l.Name {
		case "__name__":
			row[0] = l.Value
		case "host":
			row[1] = l.Value
		case "host_id":
			row[2] = l.Value
		default:
			others[l.Name] = l.Value
		}
	}
	labels, err := json.Marshal(others)
	row[3], row[4], row[5] = sample.Value, query.Time(time.UnixMilli(sample.At)), string(labels)
	return err
}
