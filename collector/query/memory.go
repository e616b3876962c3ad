package query

import (
	"fmt"
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// maxMemory bounds what SQLite takes for sorting and grouping, of all queries together.
const maxMemory = 256 << 20

// countMemory has SQLite count its memory, without which it obeys no limit (the
// driver is compiled with SQLITE_DEFAULT_MEMSTATUS=0). It must come before the first
// connection of the process: https://sqlite.org/c3ref/c_config_covering_index_scan.html
var countMemory = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	defer tls.Close()
	args := libc.Xmalloc(tls, 16)
	defer libc.Xfree(tls, args)
	if rc := sqlite3.Xsqlite3_config(tls, sqlite3.SQLITE_CONFIG_MEMSTATUS, libc.VaList(args, int32(1))); rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("sqlite: limit of memory: result code %d", rc)
	}
	return nil
})
