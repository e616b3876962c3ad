package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/agent"
	"atalaya/agent/probe"
)

func newParse() *cobra.Command {
	var list bool
	parsers := agent.Parsers()
	sort.Slice(parsers, func(i, j int) bool { return parsers[i].Kind < parsers[j].Kind }) // slices.SortFunc is 17 kB for a type of its own
	cmd := &cobra.Command{
		Use:   "parse KIND FILE...",
		Short: "Show what the agent makes of a file of some other machine",
		Long: "Read files with one of the agent's parsers and print JSON; - is the standard input.\n" +
			"What could be read is printed even when a file is damaged or another is something\n" +
			"else; the reason goes to the standard error and the exit status is then 1. Several\n" +
			"files give one list. A path may stand before the kind: linux/proc/cpuinfo is cpuinfo;\n" +
			"of a kind its beginning will do where that is unique. The kind proc is that of a file\n" +
			"of /proc by its name. The kinds are:\n\n" + kindTable(parsers),
		Example: "  atalaya-agent parse dpkg /var/lib/dpkg/status\n" +
			"  atalaya-agent parse edid /sys/class/drm/card0-HDMI-A-1/edid\n" +
			"  atalaya-agent parse --list",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if list || len(args) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), kindTable(parsers))
				return err
			}
			if len(args) == 1 {
				return usageError{fmt.Errorf("which file is to be read as %s? (- is the standard input)", args[0])}
			}
			p, err := kindOf(parsers, args[0], args[1])
			if err != nil {
				return usageError{err}
			}
			return parseFiles(p, cmd.InOrStdin(), cmd.OutOrStdout(), args[1:])
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "list the kinds, a line each")
	return cmd
}

// kindOf finds the parser that a person means.
func kindOf(parsers []probe.Parser, asked, file string) (probe.Parser, error) {
	same := strings.NewReplacer(".", "-", "_", "-")
	want := same.Replace(path.Base(asked))
	if want == "proc" { // net_tcp is net/tcp, cpuinfo2 a second one
		want = strings.TrimRight(same.Replace(filepath.Base(file)), "-.")
		for !isKind(parsers, want) {
			shorter := strings.TrimRight(want, "0123456789")
			if _, after, ok := strings.Cut(want, "-"); ok && shorter == want {
				shorter = after
			}
			if shorter == want {
				break
			}
			want = shorter
		}
	}
	var near []probe.Parser
	for _, p := range parsers {
		kind := same.Replace(p.Kind)
		if kind == want {
			return p, nil
		}
		if strings.HasPrefix(kind, want) {
			near = append(near, p)
		}
	}
	if len(near) == 1 {
		return near[0], nil
	}
	if len(near) > 1 {
		return probe.Parser{}, fmt.Errorf("%d kinds begin with %q, %s and %s among them (atalaya-agent parse --list shows them)", len(near), asked, near[0].Kind, near[1].Kind)
	}
	return probe.Parser{}, fmt.Errorf("unknown kind %q (atalaya-agent parse --list shows them)", asked)
}

func isKind(parsers []probe.Parser, kind string) bool {
	return slices.ContainsFunc(parsers, func(p probe.Parser) bool { return strings.ReplaceAll(p.Kind, "_", "-") == kind })
}

// parseFiles prints what could be read. Of several bad files the errors are joined.
func parseFiles(p probe.Parser, stdin io.Reader, stdout io.Writer, names []string) error {
	var results []any
	var problems error
	for _, name := range names {
		got, err := parseFile(p, stdin, name)
		if got != nil {
			results = append(results, got)
		}
		problems = errors.Join(problems, err)
	}
	if len(results) == 0 {
		return problems
	}
	out := json.NewEncoder(stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(probe.JoinParsed(results)); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return problems
}

func kindTable(parsers []probe.Parser) string {
	var b strings.Builder
	for _, p := range parsers {
		fmt.Fprintf(&b, "  %-18s %s\n", p.Kind, p.Help)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// parseFile reads no more than a file of the kind can have, and nothing of a larger one.
func parseFile(p probe.Parser, stdin io.Reader, name string) (any, error) {
	in, size := stdin, int64(0)
	if name != "-" {
		f, err := openToParse(p, name)
		if err != nil {
			return nil, err
		}
		defer f.Close() // read only: nothing can be lost
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if in, size = f, info.Size(); p.ParseFile != nil && info.Mode().IsRegular() {
			return p.ReadFile(f)
		}
	}
	limit := p.Limit()
	if p.Head > 0 {
		in, size, limit = io.LimitReader(in, p.Head), 0, p.Head
	}
	var data []byte
	if size <= limit {
		var err error
		if data, err = io.ReadAll(io.LimitReader(in, limit+1)); err != nil {
			return nil, fmt.Errorf("read %q: %w", name, err)
		}
		size = int64(len(data))
	}
	if size > limit {
		return nil, fmt.Errorf("read %q: larger than the %d KiB that a file of kind %s may have", name, limit>>10, p.Kind)
	}
	return p.Read(probe.Input{Name: name, Data: data})
}

// openToParse refuses what may never end: a pipe that nobody writes to, a device. What the
// caller has opened itself may be one, as in parse dpkg <(zcat status.gz), and a disk where
// its beginning is asked for.
func openToParse(p probe.Parser, name string) (*os.File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	mode := info.Mode()
	disk := p.Head > 0 && mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0
	if !mode.IsRegular() && !mode.IsDir() && !disk && !strings.HasPrefix(name, "/dev/fd/") && !strings.HasPrefix(name, "/proc/self/fd/") {
		return nil, fmt.Errorf("read %q: it is a pipe or a device, which may never end (if you mean it: atalaya-agent parse KIND - < %s)", name, name)
	}
	return os.Open(name)
}
