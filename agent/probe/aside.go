package probe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// The Tasks of a helper that reads files on a file system that may never answer, for Aside.
const (
	ListTask = "list"
	FileTask = "file"
)

// ListAnswer is what a helper does for ListTask: the names of what matches a pattern, a NUL
// between two.
func ListAnswer(pattern string) ([]byte, error) {
	found, err := LiveHost().Match(pattern)
	if err != nil {
		return nil, err
	}
	for i := range found {
		found[i] = path.Base(found[i])
	}
	return []byte(strings.Join(found, "\x00")), nil
}

// FileAnswer is what a helper does for FileTask: the content of a regular file.
func FileAnswer(name string) ([]byte, error) {
	h := LiveHost()
	h.maxBytes = maxData
	return h.ReadFile(name)
}

// asideWait bounds one reading by a helper. One that gets no answer takes 3 s.
const asideWait = 4 * time.Second

// Aside reads the files that match a pattern, with patterns in its last part only, which lie
// on a file system that may never answer: a helper process does it. What could be read
// comes with the error of what could not.
func (h *Host) Aside(ctx context.Context, pattern string) (map[string][]byte, error) {
	list := Inquiry{Questions: []Question{{ListTask, pattern}}, Wait: asideWait}
	h.Ask(ctx, &list)
	answer := list.Answers[0]
	if errors.Is(answer.Err, fs.ErrNotExist) { // the helper's program
		return nil, fmt.Errorf("%s: %v", pattern, answer.Err)
	}
	if answer.Err != nil {
		return nil, fmt.Errorf("%s: %w", pattern, answer.Err)
	}
	files := Inquiry{Wait: asideWait}
	for name := range strings.SplitSeq(string(answer.Data), "\x00") {
		if name != "" {
			files.Questions = append(files.Questions, Question{FileTask, path.Join(path.Dir(pattern), name)})
		}
	}
	if len(files.Questions) == 0 {
		return nil, nil
	}
	h.Ask(ctx, &files)
	contents := make(map[string][]byte, len(files.Answers))
	var problem error // the first: most often all have the same
	for i, a := range files.Answers {
		name := files.Questions[i].Path
		if a.Err == nil {
			contents[name] = a.Data
		} else if problem == nil {
			problem = fmt.Errorf("%s: %w", name, a.Err)
		}
	}
	return contents, problem
}
