package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	order "atalaya/shared/version"
)

// maxVersionLine bounds a line of vercmp, in bytes.
const maxVersionLine = 1 << 20

var errLongLine = fmt.Errorf("longer than %d bytes", maxVersionLine)

func newVercmp() *cobra.Command {
	var scheme string
	cmd := &cobra.Command{
		Use:   "vercmp --scheme SCHEME",
		Short: "Compare versions as their package system does",
		Long: "Read lines of two versions with a tab between them and print -1, 0 or 1 for each:\n" +
			"the first is lower, equal, higher. For a line that cannot be compared ? is printed, so\n" +
			"that lines stay aligned, the reason goes to the standard error, and the exit status is\n" +
			"1 at the end. Orders are those of the tools themselves: apk, as apk-tools, has one for\n" +
			"what is no version too; semver takes what is published though not strict, as v1.2 and\n" +
			"01.2.0, in which missing numbers are 0. The schemes are: " + strings.Join(order.Schemes(), " ") + ".",
		Example: "  printf '1.2~rc1\\t1.2\\n' | atalaya-agent vercmp --scheme deb",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			scheme := order.Scheme(scheme)
			if scheme == "" {
				return usageError{fmt.Errorf("scheme %q is not known (known: %s)", cmd.Flag("scheme").Value, strings.Join(order.Schemes(), " "))}
			}
			return compareLines(scheme, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&scheme, "scheme", "", "package system: "+strings.Join(order.Schemes(), ", "))
	cobra.CheckErr(cmd.MarkFlagRequired("scheme"))
	return cmd
}

// compareLines answers each line of in with one line of out.
func compareLines(scheme string, in io.Reader, out, talk io.Writer) (err error) {
	lines := bufio.NewReaderSize(in, maxVersionLine)
	w := bufio.NewWriter(out)
	defer func() { err = errors.Join(err, w.Flush()) }()
	n, bad := 0, 0
	for {
		line, problem := versionLine(lines)
		if problem == io.EOF {
			break
		}
		n++
		c := 0
		if problem == nil {
			c, problem = compareLine(scheme, line)
		} else if problem != errLongLine {
			return fmt.Errorf("line %d: %w", n, problem)
		}
		if problem != nil {
			bad++
			fmt.Fprintf(talk, "atalaya-agent vercmp: line %d: %v\n", n, problem)
			fmt.Fprintln(w, "?")
			continue
		}
		fmt.Fprintln(w, c)
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d lines could not be compared", bad, n)
	}
	return nil
}

// versionLine returns the next line. One that is too long is passed
// over, with errLongLine.
func versionLine(in *bufio.Reader) (string, error) {
	line, err := in.ReadSlice('\n')
	for long := err; long == bufio.ErrBufferFull; {
		if _, long = in.ReadSlice('\n'); long != nil && long != bufio.ErrBufferFull && long != io.EOF {
			return "", long
		}
	}
	switch {
	case err == bufio.ErrBufferFull:
		return "", errLongLine
	case err != nil && (err != io.EOF || len(line) == 0):
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), nil
}

func compareLine(scheme, line string) (int, error) {
	a, b, ok := strings.Cut(line, "\t")
	if !ok || strings.Contains(b, "\t") {
		return 0, errors.New("want two versions with a tab between them")
	}
	return order.Compare(scheme, a, b)
}
