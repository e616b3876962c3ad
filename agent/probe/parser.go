package probe

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
	// Parse returns what encoding/json writes: rows of package facts where there are
	// such. An error may come with what could be read.
	Parse func(files []Input) (any, error)
}
