package main

// giveToOwner has nothing to do: files inherit the rights of their folder.
func giveToOwner(string, ...string) error { return nil }
