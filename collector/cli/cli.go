// Package cli is the administrator's command line: verbs that ask a collector over
// its API and show the answer as a table for people, as JSON (the API's own
// documents) or as CSV. It knows package v1 and nothing else of the collector.
//
// Everything that came from a host is neutralised before it reaches a terminal or a
// spreadsheet, see text.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

const (
	defaultData = "/var/lib/atalaya"
	socketName  = "atalaya.sock"
	// callTime bounds one command but a backup: the collector itself gives up a
	// request after 30 s, and a list may take several.
	callTime = 2 * time.Minute
)

// Env is what commands see of the world.
type Env struct {
	Stdout, Stderr io.Writer
	Now            func() time.Time
	Getenv         func(string) string
	Width          int  // columns of the terminal that Stdout is; 0 when it is none
	Colour         bool // Stdout shows colours
}

// System returns the Env of this process.
func System() Env {
	e := Env{Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now, Getenv: os.Getenv}
	var colours bool
	e.Width, colours = terminal(os.Stdout)
	e.Colour = colours && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return e
}

// Execute adds the commands to root and runs it until it ends or is interrupted. It
// returns the exit status: 0 ok, 1 failed, 2 wrong usage.
func Execute(root *cobra.Command, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, System(), root, args)
}

// Run is Execute in a given world.
func Run(ctx context.Context, env Env, root *cobra.Command, args []string) int {
	c := &client{env: env}
	c.flags(root)
	root.AddCommand(c.commands()...)
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(args)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	markFailures(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var failed *failure
	if errors.As(err, &failed) && !errors.As(err, new(usage)) {
		fmt.Fprintf(env.Stderr, "%s: %s\n", root.Name(), oneLine(failed.cause.Error()))
		if details := (interface{ Lines() []string })(nil); errors.As(err, &details) {
			for _, line := range details.Lines() {
				fmt.Fprintf(env.Stderr, "  %s\n", clean(line))
			}
		}
		if own := (interface{ ExitCode() int })(nil); errors.As(err, &own) {
			return own.ExitCode()
		}
		return 1
	}
	fmt.Fprintf(env.Stderr, "%s: %s (see --help)\n", root.Name(), oneLine(plainUsage(err.Error())))
	return 2
}

// exclusive is cobra's text about flags that exclude each other.
var exclusive = regexp.MustCompile(`^if any flags in the group \[.*\] are set none of the others can be; \[(.*)\] were all set$`)

// plainUsage says of such flags which were given, and what is wanted.
func plainUsage(text string) string {
	if m := exclusive.FindStringSubmatch(text); m != nil {
		return "--" + strings.ReplaceAll(m[1], " ", " and --") + ": want one of them"
	}
	return text
}

// failure marks errors of a command that was called rightly. All others are
// cobra's own: wrong flags and arguments.
type failure struct{ cause error }

func (f *failure) Error() string { return f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// usage is a wrong call that only the command itself could find.
type usage struct{ error }

func usagef(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

func markFailures(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := run(cmd, args); err != nil {
				return &failure{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		markFailures(sub)
	}
}

// client is what the commands share: where the collector is and how to answer.
type client struct {
	env       Env
	server    string
	tokenFile string
	socket    string
	output    format
}

// format is how answers are written.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatCSV   format = "csv"
)

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// Set implements pflag.Value.
func (f *format) Set(s string) error {
	switch format(s) {
	case formatTable, formatJSON, formatCSV:
		*f = format(s)
		return nil
	}
	return errors.New("want table, json or csv")
}

func (c *client) flags(root *cobra.Command) {
	c.output = formatTable
	f := root.PersistentFlags()
	f.VarP(&c.output, "output", "o", "`format` of the answer: table, json or csv")
	f.StringVar(&c.server, "server", "", "`address` of a collector elsewhere, https://HOST:PORT (or $ATALAYA_SERVER)")
	f.StringVar(&c.tokenFile, "token-file", "", "`file` with a token for --server (or $ATALAYA_TOKEN_FILE)")
	f.StringVar(&c.socket, "socket", "", "`path` of the collector's socket on this machine (default in $ATALAYA_DATA or "+defaultData+")")
	root.MarkFlagsMutuallyExclusive("server", "socket")
}

func (c *client) commands() []*cobra.Command {
	return []*cobra.Command{
		c.overviewCommand(), c.queryCommand(), c.hostCommands(), c.assetCommands(), c.searchCommand(), c.packageCommands(), c.patchCommands(), c.metricCommands(), c.ciCommands(),
		c.ruleCommands(), c.alertCommands(), c.tokenCommands(), c.agentCommands(), c.backupCommand(), c.scrubCommand(), c.statusCommand(),
	}
}

// noun is a command that only holds verbs.
func noun(name, short string, verbs ...*cobra.Command) *cobra.Command {
	var names []string
	for _, v := range verbs {
		names = append(names, v.Name())
	}
	cmd := &cobra.Command{
		Use: name + " VERB", Short: short,
		// Without these a mistyped verb would print help and succeed.
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s: want a verb: %s", name, strings.Join(names, ", "))
			}
			return usagef("%s: unknown verb %q: want %s", name, args[0], strings.Join(names, ", "))
		},
	}
	cmd.AddCommand(verbs...)
	return cmd
}

// connection is the collector as the flags name it.
type connection struct {
	*v1.Client
	place string // for messages
	local bool
}

func (c *client) connect() (*connection, error) {
	server, tokenFile := c.server, c.tokenFile
	if server == "" && c.socket == "" {
		server = c.env.Getenv("ATALAYA_SERVER")
	}
	if tokenFile == "" {
		tokenFile = c.env.Getenv("ATALAYA_TOKEN_FILE")
	}
	if server == "" {
		path := c.socketPath()
		return &connection{Client: v1.NewSocketClient(path), place: path, local: true}, nil
	}
	token := ""
	if tokenFile != "" {
		var err error
		if token, err = v1.ReadTokenFile(tokenFile); err != nil {
			return nil, err
		}
	}
	remote, err := v1.NewClient(server, token)
	if err != nil {
		return nil, usage{err}
	}
	return &connection{Client: remote, place: server}, nil
}

func (c *client) socketPath() string {
	if c.socket != "" {
		return c.socket
	}
	data := c.env.Getenv("ATALAYA_DATA")
	if data == "" {
		data = defaultData
	}
	return filepath.Join(data, socketName)
}

// ask runs a command against the collector and explains its failure.
func (c *client) ask(ctx context.Context, command func(context.Context, *v1.Client) error) error {
	conn, err := c.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.explain(command(ctx, conn.Client))
}

// call is ask within the usual time.
func (c *client) call(ctx context.Context, command func(context.Context, *v1.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return c.ask(ctx, command)
}

// all joins the pages of a list, up to limit items; 0 means all.
func all[T any](limit int, fetch func(v1.Page) ([]T, string, error)) (items []T, more bool, err error) {
	if limit < 0 {
		return nil, false, usagef("--limit: want 1 or more, or 0 for all")
	}
	const pageSize = 1000
	page := v1.Page{}
	for {
		page.Limit = pageSize
		if limit > 0 {
			page.Limit = min(pageSize, limit-len(items))
		}
		part, next, err := fetch(page)
		if err != nil {
			return nil, false, err
		}
		items = append(items, part...)
		if next == "" || limit > 0 && len(items) >= limit {
			return items, next != "", nil
		}
		if next == page.Cursor {
			return nil, false, errors.New("the collector gave the same page twice")
		}
		page.Cursor = next
	}
}
