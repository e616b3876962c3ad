package main

import (
	"encoding/json"
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

// maxParseBytes bounds one file given to parse; the largest real ones, dpkg status
// files and rpm databases, have some tens of megabytes.
const maxParseBytes = 512 << 20

func newParse() *cobra.Command {
	parsers := agent.Parsers()
	sort.Slice(parsers, func(i, j int) bool { return parsers[i].Kind < parsers[j].Kind })
	return &cobra.Command{
		Use:   "parse KIND FILE...",
		Short: "Show what the agent makes of a file of some other machine",
		Long: "Read files with one of the agent's parsers and print JSON; - is the standard input.\n" +
			"What could be read is printed even when a file is damaged; the exit status is then 1.\n" +
			"A path may stand before the kind: linux/proc/cpuinfo is cpuinfo. The kind\n" +
			"proc is that of a file of /proc by its name. The kinds are:\n\n" + kindTable(parsers),
		Example: "  atalaya-agent parse dpkg /var/lib/dpkg/status\n" +
			"  atalaya-agent parse edid /sys/class/drm/card0-HDMI-A-1/edid",
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind := path.Base(args[0])
			if kind == "proc" {
				kind = filepath.Base(args[1])
			}
			i := slices.IndexFunc(parsers, func(p probe.Parser) bool { return p.Kind == kind })
			if i < 0 {
				return usageError{fmt.Errorf("unknown kind %q", args[0])}
			}
			files, err := readFiles(cmd.InOrStdin(), args[1:])
			if err != nil {
				return err
			}
			got, problem := parsers[i].Parse(files)
			out := json.NewEncoder(cmd.OutOrStdout())
			out.SetEscapeHTML(false)
			out.SetIndent("", "  ")
			if err := out.Encode(got); err != nil {
				return fmt.Errorf("write result: %w", err)
			}
			return problem
		},
	}
}

func kindTable(parsers []probe.Parser) string {
	var b strings.Builder
	for _, p := range parsers {
		fmt.Fprintf(&b, "  %-16s %s\n", p.Kind, p.Help)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func readFiles(stdin io.Reader, names []string) ([]probe.Input, error) {
	var files []probe.Input
	for _, name := range names {
		data, err := readBounded(stdin, name)
		if err != nil {
			return nil, err
		}
		files = append(files, probe.Input{Name: name, Data: data})
	}
	return files, nil
}

func readBounded(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxParseBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if len(data) > maxParseBytes {
		return nil, fmt.Errorf("read %q: larger than %d bytes", name, maxParseBytes)
	}
	return data, nil
}
