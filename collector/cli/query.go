package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

// maxQueryText bounds a query read from standard input, in bytes.
const maxQueryText = 64 << 10

// queryFlags are what `atalaya query` may be told.
type queryFlags struct {
	asOf, saved, save, note, forget string
	explain, schema, list, force    bool
}

func (c *client) queryCommand() *cobra.Command {
	var q queryFlags
	cmd := &cobra.Command{
		Use:   "query [SQL]",
		Short: "Ask the fleet in SQL, now or as of any moment",
		Long: "Answer one SELECT in SQLite's dialect; - reads it from standard input. Each section of\n" +
			"facts is a table, with the columns host_id and host before its own; beside them are\n" +
			"hosts, changes, software, samples, alerts, cis and relations: --schema lists all of\n" +
			"them and says which have a past, --schema TABLE the columns of one. A table with a past\n" +
			"takes a moment as an argument: packages('2026-11-20') or packages('-7d'); of changes\n" +
			"that are those up to then. Others refuse it. Nothing can be changed by a query.",
		Example: "  atalaya query \"select name from hosts where host_id not in (select host_id from packages where name = 'chrony')\"\n" +
			"  atalaya query \"select host, version from packages where name = 'openssl' and vercmp(source, version, '3.0.11') < 0\"\n" +
			"  atalaya query --as-of 7d \"select host, process, port from listening_sockets where port = 443\"\n" +
			"  atalaya query --save no-chrony --note 'hosts without time' \"select ...\" && atalaya query --saved no-chrony",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range []string{"save", "saved", "forget"} {
				if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
					return usagef("--%s: want the name of a query", name)
				}
			}
			if q.save == "" && (q.note != "" || q.force) {
				return usagef("--note and --force are of a query that is saved: want --save NAME too")
			}
			return c.ask(cmd.Context(), func(ctx context.Context, api *v1.Client) error { return c.query(ctx, api, q, cmd.InOrStdin(), args) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.asOf, "as-of", "", "`time` of all tables that name none, each with a past, e.g. 2026-11-20 or 7d (default now)")
	f.BoolVar(&q.explain, "explain", false, "say how the query would be answered")
	f.BoolVar(&q.schema, "schema", false, "list the tables, or the columns of the TABLE given as argument")
	f.StringVar(&q.saved, "saved", "", "run the saved query of this `name`")
	f.StringVar(&q.save, "save", "", "save the query under this `name` instead of running it")
	f.BoolVar(&q.force, "force", false, "with --save: replace the query of this name; its note stays unless --note gives another")
	f.StringVar(&q.note, "note", "", "`text` that says what a saved query is for")
	f.BoolVar(&q.list, "list", false, "list the saved queries")
	f.StringVar(&q.forget, "forget", "", "take the saved query of this `name` away")
	cmd.MarkFlagsMutuallyExclusive("schema", "saved", "save", "list", "forget")
	return cmd
}

func (c *client) query(ctx context.Context, api *v1.Client, q queryFlags, stdin io.Reader, args []string) error {
	switch {
	case q.schema:
		doc, err := api.SQLSchema(ctx)
		return c.answerSchema(err, doc, args)
	case q.list:
		doc, err := api.SavedQueries(ctx)
		return c.answer(err, doc, func() view { return list(savedTable(doc), "no queries are saved") })
	case q.forget != "":
		err := api.ForgetQuery(ctx, q.forget)
		if err == nil {
			c.say("query " + q.forget + " is forgotten")
		}
		return err
	case q.saved != "" && len(args) > 0:
		return usagef("--saved and a query: want one of them")
	}
	text, err := queryText(stdin, args)
	if err != nil {
		return err
	}
	switch {
	case text == "" && q.saved == "":
		return usagef("want a query, as in: atalaya query \"select name from hosts\"")
	case q.save != "":
		if err := api.SaveQuery(ctx, q.save, v1.SaveQuery{SQL: text, Note: q.note, Replace: q.force}); err != nil {
			return err
		}
		c.say("saved; run it with: atalaya query --saved " + q.save)
		return nil
	}
	at, err := parseState("as-of", q.asOf, c.env.Now())
	if err != nil {
		return err
	}
	asOf := ""
	if q.asOf != "" {
		asOf = v1.FormatMoment(at)
	}
	doc, err := api.SQL(ctx, v1.SQLRequest{SQL: text, Saved: q.saved, AsOf: asOf, Explain: q.explain})
	if err != nil {
		return err
	}
	if err := c.show(doc, func() view { return list(answerTable(doc, q.explain), "") }); err != nil {
		return err
	}
	if c.output == formatTable && !q.explain {
		c.say(fmt.Sprintf("%s, %s", rowCount(len(doc.Rows)), time.Duration(doc.ElapsedSeconds*float64(time.Second)).Round(100*time.Microsecond)))
	}
	if c.output == formatTable {
		for _, u := range doc.Unknown {
			c.say(unknownLine(u, doc.AsOf))
		}
		for _, r := range doc.Remarks {
			c.say(fmt.Sprintf("%s gave NULL in %d of %d calls, neither below nor above anything: %s", r.Function, r.Null, r.Of, r.Example))
		}
	}
	return nil
}

// unknownLine says that what is not known counts as absent, and how to see why; asOf is the
// moment of the query.
func unknownLine(u v1.SQLUnknown, asOf time.Time) string {
	var parts []string
	for _, s := range u.Statuses {
		parts = append(parts, fmt.Sprintf("%s %d", s.Status, s.Hosts))
	}
	argument, when := "", ""
	if !u.AsOf.IsZero() {
		asOf = u.AsOf
		when = " at " + v1.FormatMoment(asOf)
	}
	if !asOf.IsZero() {
		argument = fmt.Sprintf("('%s')", v1.FormatMoment(asOf))
	}
	return fmt.Sprintf("%[1]s is not completely known on %[2]d of %[3]d hosts%[4]s (%[5]s): what is not known counts as absent; see which: atalaya query \"select name, status, reason from hosts%[6]s h left join section_status%[6]s s on s.host_id = h.host_id and s.section = '%[1]s' where coalesce(status, '') not in ('ok', 'empty', 'unsupported')\"",
		u.Section, u.Hosts, u.Of, when, strings.Join(parts, ", "), argument)
}

func queryText(stdin io.Reader, args []string) (string, error) {
	text := strings.Join(args, "")
	if text == "-" {
		b, err := io.ReadAll(io.LimitReader(stdin, maxQueryText+1))
		if err != nil {
			return "", err
		}
		text = string(b)
	}
	if len(text) > maxQueryText {
		return "", usagef("the query has more than %d bytes", maxQueryText)
	}
	return text, nil
}

// answerTable shows what a query gave; the plan of one is a single column.
func answerTable(doc v1.SQLAnswer, plan bool) table {
	t := table{}
	for i, col := range doc.Columns {
		t.columns = append(t.columns, column{
			title: strings.ToUpper(col.Name), name: col.Name, right: numeric(doc.Rows, i), exact: plan && i < len(doc.Columns)-1,
		})
	}
	for _, row := range doc.Rows {
		cells := make([]cell, len(row))
		for i, v := range row {
			cells[i] = sqlCell(v)
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

// numeric reports whether a column holds numbers alone.
func numeric(rows [][]any, i int) bool {
	some := false
	for _, row := range rows {
		switch row[i].(type) {
		case nil:
		case float64, json.Number:
			some = true
		default:
			return false
		}
	}
	return some
}

func sqlCell(v any) cell {
	switch v := v.(type) {
	case nil:
		return cell{text: absent}
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return cell{text: v.String(), value: v.String(), number: true}
		}
		f, err := v.Float64()
		if err != nil {
			return text(v.String())
		}
		return sqlCell(f)
	case float64:
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if math.Abs(v) >= 1e21 {
			s = strconv.FormatFloat(v, 'g', -1, 64)
		}
		return cell{text: s, value: s, number: true}
	}
	return text(fmt.Sprint(v))
}

func rowCount(n int) string {
	if n == 1 {
		return "1 row"
	}
	return strconv.Itoa(n) + " rows"
}

func savedTable(doc v1.SavedQueries) table {
	t := table{columns: []column{{title: "NAME", name: "name"}, {title: "SAVED", name: "saved_at"}, {title: "BY", name: "saved_by"}, {title: "NOTE", name: "note"}, {title: "QUERY", name: "sql"}}}
	for _, q := range doc.Queries {
		t.add(text(q.Name), ago(doc.Now, q.SavedAt), text(q.SavedBy), text(q.Note), text(q.SQL))
	}
	return t
}

// answerSchema lists tables, or the columns of one.
func (c *client) answerSchema(err error, doc v1.SQLSchema, args []string) error {
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return c.show(doc, func() view {
			return view{blocks: []block{{table: schemaTable(doc)}, {heading: "Functions beside SQLite's own", table: functionTable(doc)}}}
		})
	}
	for _, t := range doc.Tables {
		if strings.EqualFold(t.Name, args[0]) { // as in SQL
			return c.show(t, func() view { return list(columnTable(t), "") })
		}
	}
	return usagef("no table is called %q: --schema lists them", args[0])
}

func schemaTable(doc v1.SQLSchema) table {
	t := table{columns: []column{{title: "TABLE", name: "table"}, {title: "COLUMNS", name: "columns", right: true}, {title: "PAST", name: "past"}, {title: "WHAT", name: "what"}}}
	for _, s := range doc.Tables {
		t.add(text(s.Name), cell{text: strconv.Itoa(len(s.Columns)), value: strconv.Itoa(len(s.Columns)), number: true}, yesNo(&s.Past), text(s.Doc))
	}
	return t
}

func functionTable(doc v1.SQLSchema) table {
	t := table{columns: []column{{title: "FUNCTION", name: "function"}, {title: "WHAT", name: "what"}}}
	for _, f := range doc.Functions {
		t.add(text(f.Usage), text(f.Doc))
	}
	return t
}

func columnTable(s v1.SQLTable) table {
	t := table{columns: []column{{title: "COLUMN", name: "column"}, {title: "TYPE", name: "type"}, {title: "FOUND BY", name: "key"}, {title: "WHAT", name: "what"}}}
	for _, col := range s.Columns {
		t.add(text(col.Name), text(col.Type), yesNo(&col.Key), orAbsent(col.Doc))
	}
	return t
}
