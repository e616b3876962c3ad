package sim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"atalaya/agent/spool"
)

// The files of a state folder beside the ledger and the folders of hosts.
const (
	lockName  = "lock"       // held by the run
	shapeName = "shape.json" // of the fleet whose ledger this is
	// addressName holds the address of the collector that the fleet reports to.
	addressName = "collector"
)

// lockState takes the folder for one run: two would write one ledger. The lock ends with
// the process.
func lockState(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err = spool.TryLock(f); err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, spool.ErrLocked) {
		return nil, fmt.Errorf("state folder %q is in use by another run: end it, or give this one another --state", dir)
	}
	return nil, fmt.Errorf("lock state folder %q: %w", dir, err)
}

// shapeOf returns the shape that the folder is of; what is asked for may leave numbers out
// as zero, and must not differ. False: the folder does not say, as one that is new.
func shapeOf(dir string, want Shape) (kept Shape, known bool, err error) {
	name := filepath.Join(dir, shapeName)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		want.Seed = cmp.Or(want.Seed, 1) // as of a run that names none
		return want, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &kept)
	}
	if err != nil {
		return kept, false, fmt.Errorf("shape of the fleet in %q: %w", name, err)
	}
	if want.Seed != 0 && want.Seed != kept.Seed || want.Packages != 0 && want.Packages != kept.Packages || want.Series != 0 && want.Series != kept.Series ||
		want.Prefix != "" && want.Prefix != cmp.Or(kept.Prefix, defaultPrefix) {
		return kept, true, fmt.Errorf("state folder %q is of a fleet with --seed %d --packages %d --series %d --name-prefix %s: give these, or another --state",
			dir, kept.Seed, kept.Packages, kept.Series, cmp.Or(kept.Prefix, defaultPrefix))
	}
	return kept, true, nil
}

// keepShape notes the shape of a new folder, and refuses another one than it has. It
// returns the shape with the names that the folder's hosts have.
func keepShape(dir string, s Shape) (Shape, error) {
	if s.Prefix != "" && !prefixForm.MatchString(s.Prefix) {
		return s, fmt.Errorf("--name-prefix %q: want lower case letters, digits and -, at most 40", s.Prefix)
	}
	kept, known, err := shapeOf(dir, s)
	if err != nil || known {
		s.Prefix = kept.Prefix
		return s, err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	return s, os.WriteFile(filepath.Join(dir, shapeName), append(b, '\n'), 0o600)
}

// keepAddress notes where the collector is; without an address it is where it was before.
func keepAddress(dir, address string) (string, error) {
	name := filepath.Join(dir, addressName)
	if address != "" {
		return address, os.WriteFile(name, []byte(address+"\n"), 0o600)
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", errors.New("where is the collector? give --tokens FILE, made with `atalaya token create --count N`, or its --address HOST:PORT")
	}
	return strings.TrimSpace(string(b)), err
}
