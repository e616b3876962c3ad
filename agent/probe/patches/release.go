package patches

import (
	"bytes"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
)

// release is what a repository's Release file says
// (https://wiki.debian.org/DebianRepository/Format), and when it was fetched.
type release struct {
	source source
	file   string // its path; "" when the source has none

	origin, label, suite, codename, version string
	architectures                           []string
	notAutomatic, butAutomatic              bool
	noAll                                   bool // "all" packages stand in the other indexes
	date, validUntil                        time.Time
	sizes                                   map[string]int64 // of the listed Packages files
	signed                                  bool             // it bears a signature, or one lies beside it
}

// signature says what is known of it. apt takes an index whose signature is missing or
// wrong only where the configuration allows that, and checks before it puts the file
// where we find it; we do not check again (docs/adr/0016).
func (r *release) signature() string {
	switch {
	case r.source.trusted == "yes":
		return "unchecked"
	case r.signed:
		return "signed"
	}
	return "unsigned"
}

// security reports whether the repository carries security updates only: Debian says
// so in the label, Ubuntu (ESM too) in the suite.
func (r *release) security() bool {
	return r.label == "Debian-Security" || strings.HasSuffix(r.suite, "-security") || strings.HasSuffix(r.codename, "-security")
}

// describe names the repository as apt does: label, version and suite.
func (r *release) describe() string {
	label := r.label
	if label == "" {
		label = r.origin
	}
	var b strings.Builder
	b.WriteString(label)
	if r.version != "" {
		b.WriteString(":" + r.version)
	}
	if suite := first(r.suite, r.codename); suite != "" {
		b.WriteString("/" + suite)
	}
	if b.Len() == 0 {
		return r.source.site()
	}
	return b.String()
}

// readRelease reads InRelease or Release; without either the release has no file.
func readRelease(h *probe.Host, in *inputs, s source) (*release, error) {
	r := &release{source: s, sizes: make(map[string]int64)}
	for _, word := range []string{"InRelease", "Release"} {
		name := s.base() + word
		data, err := in.read(h, name)
		if notThere(err) {
			continue
		}
		if err != nil {
			return r, err
		}
		r.file = name
		r.signed = bytes.HasPrefix(data, []byte(pgpSigned)) || word == "Release" && in.exists(h, name+".gpg")
		if err := r.parse(data); err != nil {
			return r, fmt.Errorf("%s: %w", name, err)
		}
		return r, nil
	}
	return r, nil
}

const pgpSigned = "-----BEGIN PGP SIGNED MESSAGE-----"

// parse takes the fields; the signature around an InRelease file is skipped. Only the
// sizes of package indexes are kept of the lists of hashes.
func (r *release) parse(data []byte) error {
	if bytes.IndexByte(data, 0) >= 0 {
		return fmt.Errorf("damaged: it has NUL bytes")
	}
	if signed, ok := bytes.CutPrefix(data, []byte(pgpSigned+"\n")); ok {
		_, data, _ = bytes.Cut(signed, []byte("\n\n"))
		if !bytes.HasSuffix(bytes.TrimSpace(signed), []byte("-----END PGP SIGNATURE-----")) {
			return fmt.Errorf("cut off: its signature does not end")
		}
	}
	var err error
	found := false
	eachField(data, func(name, value []byte) {
		found = true
		if e := r.field(string(name), value); e != nil {
			err = e
		}
	})
	if !found {
		return fmt.Errorf("it has no fields")
	}
	return err
}

func (r *release) field(name string, value []byte) (err error) {
	text := func() string { return string(value) }
	switch name {
	case "Origin":
		r.origin = text()
	case "Label":
		r.label = text()
	case "Suite":
		r.suite = text()
	case "Codename":
		r.codename = text()
	case "Version":
		r.version = text()
	case "Architectures":
		r.architectures = strings.Fields(text())
	case "No-Support-for-Architecture-all":
		r.noAll = text() == "Packages"
	case "NotAutomatic":
		r.notAutomatic = text() == "yes"
	case "ButAutomaticUpgrades":
		r.butAutomatic = text() == "yes"
	case "Date":
		r.date, err = parseDate(text())
	case "Valid-Until":
		r.validUntil, err = parseDate(text())
	case "MD5Sum", "SHA1", "SHA256", "SHA512":
		r.list(value)
	}
	return err
}

// parseDate reads RFC 5322 dates, whose zone is "UTC" here.
func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{"Mon, _2 Jan 2006 15:04:05 MST", time.RFC1123Z} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("date %q is not understood", s)
}

// list keeps the sizes of Packages files from lines of hash, size and path.
func (r *release) list(value []byte) {
	for len(value) > 0 {
		var line []byte
		line, value, _ = bytes.Cut(value, []byte{'\n'})
		if !bytes.Contains(line, []byte("Packages")) {
			continue
		}
		f := bytes.Fields(line)
		if len(f) != 3 {
			continue
		}
		if n, err := strconv.ParseInt(string(f[1]), 10, 64); err == nil {
			r.sizes[string(f[2])] = n
		}
	}
}

// offers reports whether the repository has the index at all, in any compression, and
// its inflated size (-1 if not told). A repository that lists nothing has everything,
// but an index for "all" only where it says so.
func (r *release) offers(path, arch string) (size int64, ok bool) {
	if len(r.architectures) > 0 && !r.source.flat() && !slices.Contains(r.architectures, arch) {
		return -1, false
	}
	if size, ok := r.sizes[path]; ok {
		return size, true
	}
	for _, ext := range indexExtensions {
		if _, ok := r.sizes[path+ext]; ok {
			return -1, true
		}
	}
	return -1, len(r.sizes) == 0 && arch != "all"
}

// lacks says why the source has no index of a component: the word is wrong, or the
// repository is for other machines.
func (r *release) lacks(component string, archs []string) string {
	if r.source.flat() {
		return fmt.Sprintf("source %q lists no index of packages", r.source.name())
	}
	for path := range r.sizes {
		if strings.HasPrefix(path, component+"/binary-") {
			return fmt.Sprintf("source %q has no index of component %q for %s", r.source.name(), component, strings.Join(archs, " or "))
		}
	}
	return fmt.Sprintf("source %q does not have component %q (misspelt?)", r.source.name(), component)
}

// evidence is what the times of apt's files say about one Release file. A zero time is
// not known.
type evidence struct {
	date     time.Time // the file's own Date field
	modified time.Time // its modification time, which is the server's
	changed  time.Time // its change time
	partial  time.Time // modification time of lists/partial
	lock     time.Time // change time of lists/lock
}

// confirmed is when apt last learned from the server that the Release file is the
// newest, or a time before that.
//
// The file's modification time does not tell: it is the server's. What tells is how apt
// works (observed with apt 2.6): every update run writes into lists/partial, which sets
// that folder's modification time, and afterwards sets owner and mode of each Release
// file that was fetched or answered by "not modified", which sets its change time. A
// failed download leaves the file alone. So:
//
//   - change time after the last run's begin: that run confirmed the file. Its begin is
//     taken, because a restored or unpacked image has new change times but keeps the
//     modification time of the folder;
//   - change time before it: the last run did not confirm the file. The change time
//     itself is taken, unless it is not older than that of apt's lock file, which apt
//     never touches again: then it only shows when the files were put here.
//
// Where that is not known, and in copies of another machine's files, whose change times
// are those of the copy, the later of the Release file's date and modification time is
// a safe lower bound: the index was current then.
func (e evidence) confirmed() time.Time {
	bound := later(e.date, e.modified)
	switch {
	case e.changed.IsZero() || e.partial.IsZero():
		return bound
	case !e.partial.After(e.changed):
		return later(bound, e.partial)
	case !e.lock.IsZero() && e.changed.After(e.lock.Add(time.Minute)):
		return later(bound, e.changed)
	}
	return bound
}

// runTime is longer than apt takes for one update: files that the same run confirmed
// differ by less.
const runTime = time.Hour

// confirmed gathers the evidence about this file. A doubt is what the last run of apt
// did not do.
func confirmed(h *probe.Host, file string, date time.Time) (at time.Time, doubt string) {
	info, err := h.Stat(file)
	if err != nil {
		return time.Time{}, ""
	}
	e := evidence{date: date, modified: info.ModTime()}
	if h.Live() {
		e.changed, e.partial = changeTime(info), modTime(h.Stat(partialDir))
		if info, err := h.Stat(listsDir + "/lock"); err == nil {
			e.lock = changeTime(info)
		}
	}
	if !e.changed.IsZero() && e.changed.Add(runTime).Before(e.partial) {
		doubt = "the last run of apt's update did not confirm it"
	}
	return e.confirmed(), doubt
}

func modTime(info fs.FileInfo, err error) time.Time {
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func filter(list []string, keep func(string) bool) []string {
	var out []string
	for _, v := range list {
		if keep(v) && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
