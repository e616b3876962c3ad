package accounts

// filesAreTheAccounts says whether /etc/passwd and /etc/group are the account database
// of this system.
const filesAreTheAccounts = true
