package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// choice is the value of a flag that is one of a closed list of words.
type choice struct {
	value *string
	words []string
}

// String implements pflag.Value.
func (c choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

// Type implements pflag.Value.
func (choice) Type() string { return "word" }

// Set implements pflag.Value.
func (c choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return errors.New("want " + wordList(c.words))
	}
	*c.value = s
	return nil
}

// wordList is "a, b or c".
func wordList(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// flag gives a command a flag of that value; its help is usage and the words.
func (c choice) flag(cmd *cobra.Command, name, usage string) {
	cmd.Flags().Var(c, name, usage+": "+wordList(c.words))
}
