package probe

import "os"

func openFile(name string) (*os.File, error) { return os.Open(name) }

func openFolder(name string) (*os.File, error) { return os.Open(name) }
