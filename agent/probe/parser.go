package probe

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
)

// Input is one file given to a Parser: what it is called where it lies, and all of it.
type Input struct {
	Name string
	Data []byte
}

// Parser reads one format that a probe reads, from files given by a person. It lets
// `atalaya-agent parse` show what the agent makes of a file of some other machine.
type Parser struct {
	Kind string // of the format: "dpkg", "edid"
	Help string // one line: which file it is and what comes out
	// Form tells a file of the kind from any other.
	Form Form
	// Parse returns what encoding/json writes: rows of package facts where there are
	// such. An error may come with what could be read.
	Parse func(in Input) (any, error)
	// MaxBytes is more than a file of the kind has; 0: as Limit says.
	MaxBytes int64
	// Head is how much of the beginning tells all there is to tell; 0: all of it.
	Head int64
	// ParseFile reads a file that may be far larger than what is in it. nil: Parse does.
	ParseFile func(f *os.File) (any, error)
}

// Limit is how many bytes a file of the kind may have: a page of a device some kilobytes,
// a text of /proc or /etc at most what a probe keeps of one.
func (p Parser) Limit() int64 {
	switch {
	case p.MaxBytes > 0:
		return p.MaxBytes
	case p.Form.Binary:
		return 1 << 20
	}
	return maxKept
}

// Form is what a file must look like to be of a kind. A parser of the agent takes what
// lies in its place on the machine and skips what it does not know; what a person gives
// may be anything.
type Form struct {
	Want string // what was expected, for errors: "lines NAME:PASSWORD:UID:..."
	// Line is a regular expression that each line fits which is neither blank nor a
	// comment. A file without any such line is not of the kind, one with some that do not
	// fit is damaged. "" where Parse judges by itself.
	Line string
	// Some is a regular expression that at least one line fits, for formats whose lines
	// look like those of many others.
	Some string
	// None says that a file of the kind may hold nothing that is shown.
	None bool
	// Comment are the characters that begin a comment; "#" when it is "".
	Comment string
	Binary  bool // not text
	Ended   bool // written by a program that ends each line: without that the last is cut
	Empty   bool // a file with nothing in it is one of the kind
}

// Read gives what the parser makes of one file. The error names the file. It comes with
// nothing when the file cannot be of the kind, and else with what could be read.
func (p Parser) Read(in Input) (any, error) {
	blank := len(bytes.TrimSpace(in.Data)) == 0
	damage, err := p.Form.check(&in)
	if err != nil {
		return nil, p.not(in, err)
	}
	got, problem := p.Parse(in)
	return p.judge(in, got, errors.Join(damage, problem), blank)
}

// ReadFile is Read for a Parser that has ParseFile.
func (p Parser) ReadFile(f *os.File) (any, error) {
	got, problem := p.ParseFile(f)
	return p.judge(Input{Name: f.Name()}, got, problem, p.Form.Empty)
}

func (p Parser) judge(in Input, got any, problem error, blank bool) (any, error) {
	if hollow(reflect.ValueOf(got)) {
		switch {
		case problem != nil:
			return nil, p.not(in, problem)
		case p.Form.Line == "" && p.Form.Some == "" && !p.Form.None && !(blank && p.Form.Empty):
			return nil, p.not(in, errors.New("nothing of it found"))
		}
	}
	if problem != nil {
		return got, fmt.Errorf("%s: damaged, read in part: %w", in.Name, problem)
	}
	return got, nil
}

func (p Parser) not(in Input, err error) error {
	return fmt.Errorf("%s: not %s: %w; want %s", in.Name, p.Kind, err, p.Form.Want)
}

// Damage says what of a file is not of the form; nil for one that is, or has nothing in it.
// A probe that skips what it does not know tells by it that there may have been more.
func (f Form) Damage(name string, data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	damage, err := f.check(&Input{name, data})
	if err = errors.Join(damage, err); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// check judges by the form. A text with something else in it is cut there.
func (f Form) check(in *Input) (damage, err error) {
	if len(bytes.TrimSpace(in.Data)) == 0 {
		if f.Empty {
			return nil, nil
		}
		return nil, errors.New("the file is empty")
	}
	if f.Binary {
		return nil, nil
	}
	if i := bytes.IndexFunc(in.Data, func(r rune) bool { return r < '\t' || r > '\r' && r < ' ' && r != 0x1b }); i >= 0 {
		cut := bytes.LastIndexByte(in.Data[:i], '\n') + 1
		if cut == 0 {
			return nil, fmt.Errorf("byte %d is 0x%02x, so it is no text", i, in.Data[i])
		}
		damage = fmt.Errorf("byte %d is 0x%02x, which text does not have", i, in.Data[i])
		in.Data = in.Data[:cut]
	}
	if f.Ended && in.Data[len(in.Data)-1] != '\n' {
		damage = errors.Join(damage, errors.New("the last line is cut off"))
	}
	if f.Some != "" && !regexp.MustCompile("(?m)"+f.Some).Match(in.Data) {
		return nil, errors.New("no line of it is there")
	}
	if f.Line == "" {
		return damage, nil
	}
	lines, err := f.checkLines(in.Data)
	return errors.Join(damage, lines), err
}

func (f Form) checkLines(data []byte) (damage, err error) {
	fits := regexp.MustCompile(f.Line)
	comment := f.Comment
	if comment == "" {
		comment = "#"
	}
	n, good, bad, first := 0, 0, 0, 0
	for line := range bytes.Lines(data) {
		n++
		text := bytes.TrimSpace(line)
		switch {
		case len(text) == 0 || strings.IndexByte(comment, text[0]) >= 0:
		case fits.Match(bytes.TrimRight(line, "\r\n")):
			good++
		default:
			if bad++; first == 0 {
				first = n
			}
		}
	}
	switch {
	case bad == 0 && (good > 0 || f.Empty):
		return nil, nil
	case good == 0 && bad == 0:
		return nil, errors.New("nothing but blank lines and comments")
	case bad == 1 && good == 0:
		return nil, fmt.Errorf("line %d does not fit", first)
	case good == 0 || bad > 10*good:
		return nil, fmt.Errorf("line %d does not fit, nor do %d more", first, bad-1)
	}
	return fmt.Errorf("%d of %d lines do not fit, line %d first", bad, good+bad, first), nil
}

// hollow reports whether there is nothing in a result.
func hollow(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Interface:
		return v.IsNil() || hollow(v.Elem())
	case reflect.Slice:
		for i := range v.Len() {
			if !hollow(v.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		for i := range v.NumField() {
			if !hollow(v.Field(i)) {
				return false
			}
		}
		return true
	}
	return v.IsZero()
}

// JoinParsed makes one result of those of several files: rows follow each other; what is
// no list stands alone, or in a list where there are several.
func JoinParsed(results []any) any {
	if len(results) == 1 && reflect.ValueOf(results[0]).Kind() != reflect.Slice {
		return results[0]
	}
	all := []any{}
	for _, r := range results {
		v := reflect.ValueOf(r)
		if v.Kind() != reflect.Slice {
			all = append(all, r)
			continue
		}
		for i := range v.Len() {
			all = append(all, v.Index(i).Interface())
		}
	}
	return all
}

// OfText makes the Parse of a Parser from the function that a probe has for a text.
func OfText[T any](parse func(text string) (T, error)) func(Input) (any, error) {
	return func(in Input) (any, error) { return parse(string(in.Data)) }
}

// OfBytes is OfText for what takes bytes.
func OfBytes[T any](parse func([]byte) (T, error)) func(Input) (any, error) {
	return func(in Input) (any, error) { return parse(in.Data) }
}
