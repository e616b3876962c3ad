package probe

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problems gathers the errors of a loop over data, of which a file that somebody damaged on
// purpose has a million: the first that differ are kept, the rest is counted. What it takes
// and the length of its text have a limit, however many are added. The zero value is empty.
type Problems struct {
	errs  []error
	texts []string // of errs
	more  int      // that are not kept
}

const (
	// maxProblems are kept, for errors.Is and errors.As: as many as a run's refusals.
	maxProblems = maxRefusals
	// maxSaid are named in the text.
	maxSaid = 8
	// maxProblemText bounds the text of one, in bytes; a reason has maxReason.
	maxProblemText = 1000
)

// Add notes errors; nil is none. Texts are made here and never again: to make one may take
// long, and whoever asks for it later may hold a lock.
func (p *Problems) Add(errs ...error) {
	for _, err := range errs {
		switch g, ok := err.(*gathered); {
		case err == nil:
		case ok:
			for i := range g.errs {
				p.keep(g.errs[i], g.texts[i])
			}
			p.more += g.more
		case len(p.errs) == maxProblems:
			p.more++
		default:
			p.add(err)
		}
	}
}

func (p *Problems) add(err error) {
	text := err.Error()
	if len(text) > maxProblemText {
		text = strings.ToValidUTF8(text[:maxProblemText-3], "") + "..."
		if _, several := err.(interface{ Unwrap() []error }); !several {
			err = errors.Unwrap(err) // without the text, which may be as long as a file
		}
	}
	p.keep(err, text)
}

func (p *Problems) keep(err error, text string) {
	switch {
	case slices.Contains(p.texts, text):
	case len(p.errs) == maxProblems:
		p.more++
	default:
		p.errs, p.texts = append(p.errs, err), append(p.texts, text)
	}
}

// Err is one error for all, nil if there is none. What is added later does not change it.
func (p *Problems) Err() error {
	n := len(p.errs)
	if n == 0 {
		return nil
	}
	return &gathered{p.errs[:n:n], p.texts[:n:n], p.more}
}

// tells reports whether one of those that are kept names something.
func (p *Problems) tells(name string) bool {
	return slices.ContainsFunc(p.texts, func(text string) bool { return strings.Contains(text, name) })
}

// said is err with its text made.
func said(err error) error {
	var p Problems
	p.Add(err)
	return p.Err()
}

// gathered are the errors of Problems.
type gathered struct {
	errs  []error
	texts []string
	more  int
}

// Error has a line for each of the first.
func (g *gathered) Error() string {
	n := min(len(g.texts), maxSaid)
	text := strings.Join(g.texts[:n], "\n")
	if more := len(g.texts) - n + g.more; more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return text
}

// moreIn is the number in the last line of such a text, 0 for any other line.
func moreIn(line string) int {
	var n int
	if number, ok := strings.CutPrefix(line, "and "); ok {
		number, _ = strings.CutSuffix(number, " more")
		n, _ = strconv.Atoi(number) // another text that begins so is 0
	}
	return n
}

// Unwrap has one more error where some were not kept: what those were is not known.
func (g *gathered) Unwrap() []error {
	if g.more == 0 {
		return g.errs
	}
	return append(slices.Clip(g.errs), errMore)
}

var errMore = errors.New("more problems")
