package alert

// CheckContent is CheckRules for the content of a file; name stands for it in errors.
func CheckContent(name string, content []byte) (int, error) {
	groups, err := parseRules(name, content)
	n := 0
	for _, g := range groups {
		n += len(g.rules)
	}
	return n, err
}
