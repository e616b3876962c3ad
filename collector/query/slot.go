package query

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// slot is a connection with its virtual tables. It runs one query at a time, on the
// session that is set while it does.
type slot struct {
	db      *sql.DB
	conn    *sql.Conn
	session *session
}

// connector hands one driver's connections to database/sql.
type connector struct{ driver *sqlite.Driver }

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(":memory:") }
func (c connector) Driver() driver.Driver                        { return c.driver }

// newSlot opens a connection, makes the tables and then forbids everything but
// reading. Each has a driver of its own: a module belongs to one slot.
func newSlot(ctx context.Context, tables []Table) (*slot, error) {
	if err := countMemory(); err != nil {
		return nil, err
	}
	s := &slot{}
	d := new(sqlite.Driver)
	for i := range tables {
		if err := d.RegisterModule("at_"+tables[i].Name, &module{slot: s, table: &tables[i]}); err != nil {
			return nil, fmt.Errorf("table %s: %w", tables[i].Name, err)
		}
	}
	registerFunctions(d, s)
	s.db = sql.OpenDB(connector{d})
	s.db.SetMaxOpenConns(1)
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(err, s.db.Close())
	}
	s.conn = conn
	if err := s.prepare(ctx, tables); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *slot) prepare(ctx context.Context, tables []Table) error {
	// hard_heap_limit counts for the process; SQLite serves nothing else here.
	setup := []string{fmt.Sprintf("PRAGMA hard_heap_limit=%d", maxMemory), "PRAGMA temp_store=MEMORY", "PRAGMA trusted_schema=OFF"}
	for _, t := range tables {
		setup = append(setup, fmt.Sprintf("CREATE VIRTUAL TABLE %s USING at_%s", quote(t.Name), t.Name))
	}
	setup = append(setup, "PRAGMA query_only=ON")
	for _, text := range setup {
		if _, err := s.conn.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	limits := map[int]int{
		sqlite3.SQLITE_LIMIT_LENGTH: 16 << 20, sqlite3.SQLITE_LIMIT_SQL_LENGTH: maxSQL + 64, sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
		sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50, sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000, sqlite3.SQLITE_LIMIT_ATTACHED: 0,
		sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000, sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
	}
	for id, n := range limits {
		if _, err := sqlite.Limit(s.conn, id, n); err != nil {
			return err
		}
	}
	return s.conn.Raw(func(c any) error {
		guard, ok := c.(interface {
			RegisterAuthorizer(sqlite.AuthorizerFn) error
		})
		if !ok {
			return errors.New("the driver has no authorizer")
		}
		return guard.RegisterAuthorizer(authorize)
	})
}

// forbidden functions read or write something else than the query's own values.
var forbidden = []string{"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "sqlite_dbpage"}

// authorize lets queries read, and nothing else.
func authorize(action sqlite.AuthorizerActionCode, _, name, _, _ string) sqlite.AuthorizerReturnCode {
	switch action {
	case sqlite.AuthSelect, sqlite.AuthRead, sqlite.AuthRecursive:
		return sqlite.AuthorizerOK
	case sqlite.AuthFunction:
		for _, f := range forbidden {
			if strings.EqualFold(f, name) {
				return sqlite.AuthorizerDeny
			}
		}
		return sqlite.AuthorizerOK
	}
	return sqlite.AuthorizerDeny
}

func (s *slot) close() error { return errors.Join(s.conn.Close(), s.db.Close()) }

// run compiles and runs one statement.
func (s *slot) run(ctx context.Context, r Request) (*Answer, error) {
	text := strings.TrimSpace(r.SQL)
	if r.Explain {
		text = "EXPLAIN QUERY PLAN " + text
	}
	rows, err := s.conn.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	a := &Answer{}
	for _, t := range types {
		a.Columns = append(a.Columns, Column{t.Name(), t.DatabaseTypeName()})
	}
	size := 0
	for rows.Next() {
		if len(a.Rows) == r.Limits.Rows {
			return nil, fmt.Errorf("%w: the answer has more than %d rows; add a WHERE or a LIMIT", ErrLimit, r.Limits.Rows)
		}
		row, n, err := scanRow(rows, len(types))
		if err != nil {
			return nil, err
		}
		if size += n; size > r.Limits.Cells {
			return nil, fmt.Errorf("%w: the answer is larger than %d bytes; ask for fewer rows or columns", ErrLimit, r.Limits.Cells)
		}
		a.Rows = append(a.Rows, row)
	}
	a.Scanned = s.session.scanned
	return a, rows.Err()
}

// scanRow reads a row and about how many bytes it takes.
func scanRow(rows *sql.Rows, n int) (row []any, size int, err error) {
	row = make([]any, n)
	into := make([]any, n)
	for i := range row {
		into[i] = &row[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, 0, err
	}
	for i, v := range row {
		size += 16
		switch v := v.(type) {
		case []byte:
			row[i] = strings.ToValidUTF8(string(v), "\uFFFD")
			size += len(v)
		case string:
			size += len(v)
		case float64:
			if math.IsInf(v, 0) {
				row[i] = map[bool]string{true: "Infinity", false: "-Infinity"}[v > 0]
			}
		}
	}
	return row, size, nil
}

// quote makes a name safe for SQL.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
