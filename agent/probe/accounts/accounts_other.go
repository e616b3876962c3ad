//go:build !linux

package accounts

// filesAreTheAccounts is false where accounts are kept elsewhere: Open Directory on
// macOS, the SAM on Windows, and databases made from master.passwd on the BSDs. The
// files of a Linux system can be read there all the same (see probe.RootHost).
const filesAreTheAccounts = false
