//go:build unix

package series

import (
	"errors"
	"os"
)

// syncDir makes new names in a folder durable.
func syncDir(dir string) (err error) {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}
