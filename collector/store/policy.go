package store

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fate says what becomes of a table of which damage took something (docs/adr/0043).
type fate int

const (
	thrownAway    fate = iota // record by record: what cannot be read is gone, the others stay
	madeAnew                  // from other records
	askedAgain                // of the hosts; their history of it begins anew
	closed                    // thrown away, all of it where it may be older than it was: what it allowed is refused
	irreplaceable             // the file is refused: what stands there is what all other records mean
)

// policy is the fate of a table and what an administrator is told of a loss.
type policy struct {
	fate fate
	told string
}

// policies are by table, or by the prefix of tables that have one fate. A table that is
// not among them loses its damaged records alone.
var policies = map[string]policy{
	tableMeta:         {irreplaceable, "the counters of the file"},
	tableHosts:        {madeAnew, "records of hosts: made anew with name, tags and life of the host; the agent tells the rest"},
	tableIndex:        {madeAnew, "the list of hosts"},
	tableGiven:        {madeAnew, "the second copy of names and tags"},
	tableContents:     {madeAnew, "the index of rows by content"},
	tableHave:         {madeAnew, "the index of hosts by row"},
	tableByHost:       {madeAnew, "the index of the change log by host"},
	tableCursors:      {madeAnew, "how far the views had read"},
	catalogue:         {madeAnew, "the list of tables"},
	"inventory.":      {madeAnew, "the view inventory"},
	"cmdb.":           {madeAnew, "the view cmdb"},
	"assets.":         {madeAnew, "records, keys and index of assets"},
	"identity.facts":  {madeAnew, "the index by which machines are known again"},
	tableSections:     {askedAgain, "what is known of sections of hosts"},
	tableItems:        {askedAgain, "rows that hosts share"},
	tableHeld:         {askedAgain, "sections of hosts"},
	tableChanges:      {thrownAway, "the past up to the damaged part of the change log"},
	tableSeen:         {closed, "when hosts were last seen"},
	tableMarks:        {thrownAway, "which batches of hosts were taken"},
	tableLosses:       {closed, "what hosts told of their own losses"},
	tableLost:         {thrownAway, "the list of what earlier damage took"},
	"alert.active":    {closed, "states of alerts: they begin anew with the next evaluation"},
	"alert.groups":    {closed, "when rules were last evaluated"},
	"alert.outbox":    {closed, "notifications that waited"},
	"alert.history":   {thrownAway, "events of alerts"},
	"asset.log":       {thrownAway, "lines of the history of assets: their present record stays, what was before is not known"},
	"auth.tokens":     {closed, "tokens of the API: they are refused, make new ones with `atalaya token create --role ROLE`"},
	"enroll.tokens":   {closed, "tokens for enrolment: they are refused, make new ones with `atalaya token create`"},
	"enroll.keys":     {thrownAway, "keys of agents: their hosts are refused until they enrol again with a new token"},
	"identity.hosts":  {thrownAway, "what was known of the identity of hosts, with its events"},
	"identity.merges": {irreplaceable, "merges of hosts: whose facts and keys stand for whom"},
	"query.saved":     {thrownAway, "saved queries"},
}

// policyOf returns the fate of a table.
func policyOf(table string) policy {
	if p, ok := findPolicy(table); ok {
		return p
	}
	return policy{thrownAway, "records of " + table}
}

func findPolicy(table string) (policy, bool) {
	if p, ok := policies[table]; ok {
		return p, true
	}
	for prefix, p := range policies {
		if strings.HasSuffix(prefix, ".") && strings.HasPrefix(table, prefix) {
			return p, true
		}
	}
	return policy{}, false
}

// verb says what became of a loss, for the log and for people.
func (f fate) verb() string {
	switch f {
	case madeAnew:
		return "mended"
	case askedAgain:
		return "asked of the hosts again"
	}
	return "thrown away"
}

// lasting are tables that only people or an enrolment fill again. Where most of one is
// gone a backup is the better state, and agents keep what they have to tell meanwhile.
var lasting = []string{"enroll.keys", "identity.hosts", "asset.log", "query.saved"}

// fewRecords may be lost of such a table whatever it held.
const fewRecords = 64

// refusal says why what was read of a damaged file must not be served; empty when it may.
func refusal(conditions map[string]*condition) string {
	lossy := func(prefix string) bool {
		for name, c := range conditions {
			if strings.HasPrefix(name, prefix) && !c.whole() {
				return true
			}
		}
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(conditions)) {
		c := conditions[name]
		if c.whole() {
			continue
		}
		switch p := policyOf(name); {
		case p.fate == irreplaceable:
			return fmt.Sprintf("table %q lacks records: %s", name, p.told)
		case p.fate != madeAnew && p.fate != closed && c.stale(), (name == tableHosts || name == tableIndex) && c.older():
			return fmt.Sprintf("table %q shows an older state", name)
		case slices.Contains(lasting, name) && c.lost() > fewRecords && c.lost() > c.want.count/2:
			return fmt.Sprintf("most of table %q is gone (%d of %d records): %s", name, c.lost(), c.want.count, p.told)
		}
	}
	switch {
	case lossy("asset.log") && lossy("assets."):
		return "both the history of assets and the records that are made from it are damaged"
	case lossy(tableHosts) && lossy(tableIndex):
		return "both the records and the list of hosts are damaged"
	}
	return ""
}
