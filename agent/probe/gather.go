package probe

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"atalaya/shared/metric"
)

// Gather returns a metric probe of one group of families, for readings that few
// machines have or that seldom matter within seconds: collect opens what it reads at
// every run. It ends with errors.ErrUnsupported where the machine has no such thing;
// the scheduler then looks again after a longer while.
func Gather(info Info, group *metric.Group, collect func(g *Gathering) error) Probe {
	info.Metrics = true
	info.Optional = info.Optional || group.Optional
	if info.Period == 0 {
		info.Period = slowPeriod
	}
	return &gather{info: info, members: metric.NewMembers(group), collect: collect}
}

// slowPeriod lies between two readings of what is gathered.
const slowPeriod = time.Minute

type gather struct {
	info    Info
	members *metric.Members
	collect func(g *Gathering) error
}

func (p *gather) Info() Info { return p.info }

// Collect implements Probe.
func (p *gather) Collect(ctx context.Context, h *Host, r *Report) error {
	g := &Gathering{Host: h, ctx: ctx, report: r, members: p.members}
	err := p.collect(g)
	if g.denied != nil {
		err = errors.Join(err, g.denied)
	}
	if err == nil && g.added == 0 {
		return errors.ErrUnsupported
	}
	return err
}

// Gathering is one run of a probe made by Gather.
type Gathering struct {
	*Host
	ctx     context.Context
	report  *Report
	members *metric.Members
	added   int
	denied  error // the first file that may not be read
}

// maxPairs bounds the labels of one sample. DMI, which has the most, has 20.
const maxPairs = 24

// Add reports one sample: the key of its family in the group, its value, and its
// labels as name, value, name, value..., sorted by name. What does not fit the group
// is left out.
func (g *Gathering) Add(key string, value float64, labels ...string) {
	var names, values [maxPairs]string
	n := len(labels) / 2
	if n > len(names) {
		return
	}
	for i := range n {
		names[i], values[i] = labels[2*i], strings.ToValidUTF8(labels[2*i+1], "\uFFFD")
	}
	if d := g.members.Of(key, names[:n]...); d != nil {
		g.report.Sample(d, value, values[:n]...)
		g.added++
	}
}

// Done reports whether the run should end early.
func (g *Gathering) Done() bool { return g.ctx.Err() != nil }

// Context is that of the run.
func (g *Gathering) Context() context.Context { return g.ctx }

// Bytes returns the content of a file, nil when there is none or it cannot be read.
// Attributes of /sys that a driver refuses to tell are as if they were not there.
func (g *Gathering) Bytes(name string) []byte {
	b, err := g.ReadFile(name)
	g.deny(err)
	return b
}

// deny remembers the first refusal.
func (g *Gathering) deny(err error) {
	if errors.Is(err, fs.ErrPermission) && g.denied == nil {
		g.denied = err
	}
}

// Text returns the content of a small file without surrounding blanks; "" when there
// is none.
func (g *Gathering) Text(name string) string {
	text, err := g.readText(name)
	g.deny(err)
	return text
}

// Number returns the decimal or, after 0x, hexadecimal number that a file holds.
func (g *Gathering) Number(name string) (float64, bool) { return ParseNumber(g.Text(name)) }

// AddFile reports the number that a file holds, times scale, if it does.
func (g *Gathering) AddFile(key, file string, scale float64, labels ...string) {
	if v, ok := g.Number(file); ok {
		g.Add(key, v*scale, labels...)
	}
}

// Entries returns the names in a folder, sorted; none when it cannot be read.
func (g *Gathering) Entries(dir string) []string {
	entries, err := g.ReadDir(dir)
	g.deny(err)
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Matching returns the names in a folder that a pattern of package path matches.
func (g *Gathering) Matching(dir, pattern string) []string {
	var out []string
	for _, name := range g.Entries(dir) {
		if ok, _ := path.Match(pattern, name); ok { // the patterns are ours
			out = append(out, name)
		}
	}
	return out
}

// ParseNumber reads a decimal number, or a hexadecimal one after 0x. It refuses
// infinities and what is no number.
func ParseNumber(s string) (float64, bool) {
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		n, err := strconv.ParseUint(hex, 16, 64)
		return float64(n), err == nil
	}
	if s == "" || (s[0] != '-' && s[0] != '.' && (s[0] < '0' || s[0] > '9')) {
		return 0, false // "nan", "inf"
	}
	v, err := strconv.ParseFloat(s, 64)
	return v, err == nil && v-v == 0
}
