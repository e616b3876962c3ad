package facts

// ProcessRow is a program that has been running for a while: all processes of one
// name, executable, user and unit or container. How many there are is a metric.
type ProcessRow struct {
	Name      string `json:"name" cbor:"1,keyasint"`                          // as the kernel has it, at most 15 bytes
	Exe       string `json:"exe,omitempty" cbor:"2,keyasint,omitempty"`       // path of the executable; " (deleted)" behind it when it was replaced
	User      string `json:"user,omitempty" cbor:"3,keyasint,omitempty"`      // or its number, where the name is not local
	Unit      string `json:"unit,omitempty" cbor:"4,keyasint,omitempty"`      // of systemd: a service named as in services, else a slice or scope
	Container string `json:"container,omitempty" cbor:"5,keyasint,omitempty"` // as in the section containers
	Command   string `json:"command,omitempty" cbor:"6,keyasint,omitempty"`   // command line of the oldest, secrets masked
}

// Key implements Row.
func (r *ProcessRow) Key() string {
	return key(r.Name, r.Exe, r.User, r.Unit, r.Container)
}
