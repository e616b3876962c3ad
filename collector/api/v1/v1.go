// Package v1 is the collector's programming interface as its clients see it: the
// JSON documents, and a Go client for them. The command line and the web pages
// know the collector through this package alone.
//
// Conventions of every document: keys in snake_case, sizes in bytes with the
// suffix _bytes, times in RFC 3339. A document that says how things stand carries
// "now", the collector's clock when it answered: ages are the difference between
// that and the times in the document, whatever the client's clock says. A field
// that is absent is not known; it is never zero for want of knowledge. Lists are
// paged: "next", when present, is the cursor that gives the following page.
package v1

import (
	"encoding/json"
	"time"
)

// HostStates are the states by which hosts are listed.
func HostStates() []string { return []string{HostOnline, HostSilent, HostRevoked} }

// Verdicts are the patch verdicts by which hosts are listed.
func Verdicts() []string {
	return []string{VerdictCurrent, VerdictPending, VerdictUnknown, VerdictUnsupported}
}

// OpenAlertStates are the states by which alerts are listed.
func OpenAlertStates() []string { return []string{AlertPending, AlertFiring} }

// Roles are the roles of a token for the API, the weakest first.
func Roles() []string { return []string{"reader", "operator", "admin"} }

// CIClasses are the classes of configuration items.
func CIClasses() []string {
	return []string{"host", "operating_system", "software", "service", "network_address"}
}

// Host is a host as the list shows it: who it is and what matters most about it.
type Host struct {
	ID           string    `json:"id" doc:"number given at enrolment"`
	Name         string    `json:"name" doc:"host name as the host reports it"`
	State        string    `json:"state" doc:"online, silent or revoked"`
	OS           string    `json:"os,omitempty" doc:"operating system, for people"`
	OSID         string    `json:"os_id,omitempty" doc:"as os-release gives it, e.g. debian"`
	Arch         string    `json:"arch,omitempty"`
	Kernel       string    `json:"kernel,omitempty" doc:"release of the running kernel"`
	AgentVersion string    `json:"agent_version,omitempty"`
	EnrolledAt   time.Time `json:"enrolled_at,omitzero"`
	LastSeen     time.Time `json:"last_seen,omitzero" doc:"last message of any kind"`
	Machine      string    `json:"machine,omitempty" doc:"maker and product"`
	CPUs         int       `json:"cpus,omitempty" doc:"hardware threads"`
	MemoryBytes  int64     `json:"memory_bytes,omitempty"`
	Addresses    []string  `json:"addresses,omitempty" doc:"addresses of global scope"`
	Tags         []string  `json:"tags,omitempty"`
	Packages     *int      `json:"packages,omitempty" doc:"installed packages; absent when they were never read"`
	Patch        Verdict   `json:"patch"`
	// ClockOffsetSeconds is the host's clock minus the collector's.
	ClockOffsetSeconds float64 `json:"clock_offset_seconds,omitempty" doc:"the host's clock minus the collector's"`
	LostBatches        uint64  `json:"lost_batches,omitempty" doc:"batches the agent had to drop, by its own count"`
}

// The patch verdicts.
const (
	VerdictCurrent     = "current"     // nothing to do, and the index is fresh enough to say so
	VerdictPending     = "pending"     // updates wait
	VerdictUnknown     = "unknown"     // the proof does not suffice; the reason says why
	VerdictUnsupported = "unsupported" // no package system that can be judged
)

// Verdict is the patch state of a host in short.
type Verdict struct {
	Verdict        string    `json:"verdict" doc:"current, pending, unknown or unsupported"`
	Reason         string    `json:"reason,omitempty" doc:"why the verdict is unknown or unsupported"`
	IndexTime      time.Time `json:"index_time,omitzero" doc:"when the oldest package index it rests on was fetched or confirmed"`
	Pending        int       `json:"pending" doc:"updates that wait"`
	Security       int       `json:"security" doc:"of those pending, security updates"`
	RebootRequired *bool     `json:"reboot_required,omitempty" doc:"absent when it is not known"`
}

// HostPage is a page of the list of hosts, in order of their numbers.
type HostPage struct {
	Now   time.Time `json:"now"`
	Hosts []Host    `json:"hosts"`
	Next  string    `json:"next,omitempty"`
}

// HostQuery selects hosts.
type HostQuery struct {
	Name    string // a part of the name, or a pattern with * and ?; empty means all
	State   string // online, silent, revoked; empty means all
	Verdict string // empty means all
	Tag     string // exact
	Page
}

// Page asks for a part of a list.
type Page struct {
	Limit  int    // at most so many; 0 leaves it to the collector
	Cursor string // Next of the page before; empty means from the start
}

// HostDetail is all that is known of one host.
type HostDetail struct {
	Now      time.Time          `json:"now"`
	Host     Host               `json:"host"`
	Sections map[string]Section `json:"sections" doc:"by name"`
	Removed  *RemovedHost       `json:"removed,omitempty" doc:"when and why it left the fleet; its past stays"`
	Identity []IdentityEvent    `json:"identity,omitempty" doc:"the last things that happened to who it is, newest first"`
}

// Section is one kind of facts of a host. Its status tells nothing found from not
// able to look; rows of a failed reading are those of the last good one.
type Section struct {
	Status     string    `json:"status" doc:"ok, partial, empty, unsupported, denied, failed or stale"`
	Reason     string    `json:"reason,omitempty"`
	ObservedAt time.Time `json:"observed_at,omitzero" doc:"last reading, whatever its outcome"`
	KnownAt    time.Time `json:"known_at,omitzero" doc:"last reading that gave these rows"`
	RowCount   int       `json:"row_count"`
	// Rows are sorted by their key. Absent when they were not asked for.
	Rows []json.RawMessage `json:"rows,omitempty"`
}

// SectionDocument is one section by itself.
type SectionDocument struct {
	Now     time.Time `json:"now"`
	HostID  string    `json:"host_id"`
	Name    string    `json:"name" doc:"of the section"`
	Columns []string  `json:"columns" doc:"names of the columns that rows may have, in order"`
	Section
}

// The kinds of a change.
const (
	ChangeAdded   = "added"
	ChangeRemoved = "removed"
	ChangeChanged = "changed"
	ChangeStatus  = "status" // the status of the section changed, not its rows
)

// HostEvents stands for a section in what happened to a host as a whole.
const HostEvents = "host"

// Change is one thing that became different on a host.
type Change struct {
	Seq        uint64         `json:"seq,omitempty" doc:"number in the change log"`
	At         time.Time      `json:"at,omitzero" doc:"when it came about, by the collector's clock: what as_of, from and to go by"`
	ObservedAt time.Time      `json:"observed_at,omitzero" doc:"by the host's clock"`
	ReceivedAt time.Time      `json:"received_at,omitzero" doc:"by the collector's clock"`
	Section    string         `json:"section" doc:"or host, for what happened to it as a whole"`
	Kind       string         `json:"kind" doc:"added, removed, changed, status, first-reading; of a host: first-seen, replaced, or what happened to its identity, as merged or renamed"`
	Item       string         `json:"item,omitempty" doc:"which row, for people"`
	Text       string         `json:"text,omitempty" doc:"what changed, in one line"`
	Columns    []ColumnChange `json:"columns,omitempty"`
}

// ColumnChange is one column of a row that changed. Old and New are values as the
// row has them; absent where there is none.
type ColumnChange struct {
	Name string `json:"name"`
	Old  any    `json:"old,omitempty"`
	New  any    `json:"new,omitempty"`
}

// History is a page of a host's changes, newest first.
type History struct {
	Now     time.Time `json:"now"`
	HostID  string    `json:"host_id"`
	Host    string    `json:"host" doc:"host name"`
	Changes []Change  `json:"changes"`
	Next    string    `json:"next,omitempty"`
	// KeptFrom is given with the last page where there was more.
	KeptFrom time.Time `json:"kept_from,omitzero" doc:"changes before it are no longer kept"`
}

// HistoryQuery selects changes of one host.
type HistoryQuery struct {
	Section  string // empty means all
	From, To time.Time
	Details  bool // every change, where otherwise a first reading, a removal or a merge is one
	Page
}

// Diff is the net difference of a host between two moments.
type Diff struct {
	Now     time.Time `json:"now"`
	HostID  string    `json:"host_id"`
	Host    string    `json:"host" doc:"host name"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Changes []Change  `json:"changes"`
}

// DiffQuery selects two moments of a host.
type DiffQuery struct {
	Section  string // empty means all
	From, To time.Time
	Details  bool // every row, where otherwise a host or section that was not known is one
}

// HostPackage is a package as one host has it.
type HostPackage struct {
	HostID  string `json:"host_id"`
	Host    string `json:"host" doc:"host name"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`
	Source  string `json:"source" doc:"package system: dpkg, rpm ..."`
	// KnownAt is the last reading of the host's packages that succeeded.
	KnownAt time.Time `json:"known_at,omitzero" doc:"when the host's packages were last read"`
}

// PackagePage is a page of packages found on the fleet, by name and version.
type PackagePage struct {
	Now      time.Time     `json:"now"`
	AsOf     time.Time     `json:"as_of,omitzero"`
	Packages []HostPackage `json:"packages"`
	Total    int           `json:"total" doc:"on the whole fleet"`
	// Uncomparable are versions that have no order against the bounds: the packages
	// that have them may match or not.
	Uncomparable []string `json:"uncomparable,omitempty" doc:"versions that could not be compared; not among the packages"`
	Next         string   `json:"next,omitempty"`
}

// PackageQuery finds hosts by what they have installed. Versions are compared in
// the order of each package's own system.
type PackageQuery struct {
	Name    string    // exact; a pattern where it holds * or ?
	Below   string    // older than this
	Above   string    // newer than this
	Version string    // exactly this
	AsOf    time.Time // as it was then; zero: now
	Page
}

// PatchStatus is the patch state of one host with its proof.
type PatchStatus struct {
	HostID string `json:"host_id"`
	Host   string `json:"host" doc:"host name"`
	Verdict
	IndexAgeSeconds *int64   `json:"index_age_seconds,omitempty" doc:"now minus index_time"`
	Held            *int     `json:"held,omitempty" doc:"updates that an administrator holds back; only when one host is asked for"`
	RebootReasons   []string `json:"reboot_reasons,omitempty"`
	// Updates are the offered updates, as rows of the section patches. Only when
	// one host is asked for.
	Updates []Update `json:"updates,omitempty"`
}

// Update is an update that a package index offers to a host.
type Update struct {
	Name      string `json:"name"`
	Arch      string `json:"arch,omitempty"`
	Installed string `json:"installed,omitempty" doc:"absent for a package that the updates newly need"`
	Candidate string `json:"candidate"`
	Origin    string `json:"origin,omitempty"`
	Security  bool   `json:"security"`
	State     string `json:"state" doc:"pending, held, phased or pinned"`
	Source    string `json:"source" doc:"package system"`
	Reason    string `json:"reason,omitempty" doc:"why it is held, phased or pinned"`
}

// PatchPage is a page of patch states, in order of the hosts' numbers.
type PatchPage struct {
	Now   time.Time     `json:"now"`
	Hosts []PatchStatus `json:"hosts"`
	Next  string        `json:"next,omitempty"`
}

// PatchQuery selects patch states.
type PatchQuery struct {
	Host    string // name or number: this host only, and with its updates
	Verdict string
	Page
}

// CI is a configuration item.
type CI struct {
	ID         string            `json:"id" doc:"class and parts, e.g. host/4f3a..."`
	Class      string            `json:"class"`
	Name       string            `json:"name"`
	Host       string            `json:"host,omitempty" doc:"name of the host it is on"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Present    bool              `json:"present" doc:"false when it was seen once and is gone"`
	FirstSeen  time.Time         `json:"first_seen,omitzero"`
	LastSeen   time.Time         `json:"last_seen,omitzero"`
}

// CIPage is a page of configuration items, by class and name.
type CIPage struct {
	Now  time.Time `json:"now"`
	CIs  []CI      `json:"cis"`
	Next string    `json:"next,omitempty"`
}

// CIQuery selects configuration items.
type CIQuery struct {
	Class string
	Name  string // a part of the name, or a pattern with * and ?
	Host  string // name or number: those that belong to this host only
	Gone  bool   // those that are gone, too
	Page
}

// Relation is a relation of a configuration item to another.
type Relation struct {
	Relation   string            `json:"relation" doc:"as seen from the item asked for, e.g. runs_on"`
	ID         string            `json:"id" doc:"of the other item"`
	Class      string            `json:"class"`
	Name       string            `json:"name"`
	Present    bool              `json:"present"`
	FirstSeen  time.Time         `json:"first_seen,omitzero"`
	LastSeen   time.Time         `json:"last_seen,omitzero"`
	Attributes map[string]string `json:"attributes,omitempty" doc:"of the relation, e.g. the version of a package there"`
}

// CIDetail is a configuration item with its relations.
type CIDetail struct {
	Now       time.Time  `json:"now"`
	CI        CI         `json:"ci"`
	Relations []Relation `json:"relations"`
}

// Impact is what would suffer if a configuration item failed.
type Impact struct {
	Now      time.Time  `json:"now"`
	CI       CI         `json:"ci"`
	Affected []Affected `json:"affected" doc:"nearest first"`
	// Truncated tells that the search stopped at its limit.
	Truncated bool `json:"truncated,omitempty"`
}

// Affected is an item that depends on the one asked for.
type Affected struct {
	ID       string `json:"id"`
	Class    string `json:"class"`
	Name     string `json:"name"`
	Distance int    `json:"distance" doc:"relations between it and the item asked for"`
	Why      []Step `json:"why" doc:"a shortest way to it"`
}

// Step is one relation on the way from what fails to what is hit.
type Step struct {
	From     string `json:"from" doc:"id"`
	Relation string `json:"relation" doc:"read from the one to the other, e.g. runs"`
	To       string `json:"to" doc:"id"`
}

// Rule is an alert rule as it stands.
type Rule struct {
	Name              string            `json:"name"`
	Group             string            `json:"group"`
	Expr              string            `json:"expr"`
	ForSeconds        float64           `json:"for_seconds,omitempty"`
	KeepFiringSeconds float64           `json:"keep_firing_for_seconds,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
	State             string            `json:"state" doc:"inactive, pending or firing"`
	Alerts            int               `json:"alerts" doc:"pending and firing"`
	EvaluatedAt       time.Time         `json:"evaluated_at,omitzero"`
	Error             string            `json:"error,omitempty" doc:"of the last evaluation"`
}

// RuleList is all rules, by group.
type RuleList struct {
	Now   time.Time `json:"now"`
	Rules []Rule    `json:"rules"`
}

// RuleCheck is the outcome of checking a rule file.
type RuleCheck struct {
	Rules    int      `json:"rules" doc:"rules in the file"`
	Problems []string `json:"problems" doc:"a line each; empty when the file is good"`
}

// The states of an alert.
const (
	AlertPending  = "pending"
	AlertFiring   = "firing"
	AlertResolved = "resolved"
)

// Alert is one alert: a rule with the labels of what it found.
type Alert struct {
	ID          string            `json:"id"`
	Name        string            `json:"name" doc:"of the rule"`
	State       string            `json:"state" doc:"pending, firing or resolved"`
	Severity    string            `json:"severity,omitempty"`
	Host        string            `json:"host,omitempty"`
	Summary     string            `json:"summary,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Value       *float64          `json:"value,omitempty" doc:"of the rule's expression; absent when it is not a finite number"`
	ActiveAt    time.Time         `json:"active_at,omitzero" doc:"since when the condition holds"`
	FiredAt     time.Time         `json:"fired_at,omitzero"`
	ResolvedAt  time.Time         `json:"resolved_at,omitzero"`
}

// AlertQuery selects alerts.
type AlertQuery struct {
	State string // pending or firing; empty means both
	Page
}

// AlertPage is a page of alerts, firing ones first.
type AlertPage struct {
	Now    time.Time `json:"now"`
	Alerts []Alert   `json:"alerts"`
	Next   string    `json:"next,omitempty"`
}

// AlertDetail is an alert with what it went through, oldest first.
type AlertDetail struct {
	Now     time.Time    `json:"now"`
	Alert   Alert        `json:"alert"`
	History []AlertEvent `json:"history"`
}

// AlertEvent is one step of an alert.
type AlertEvent struct {
	At    time.Time `json:"at"`
	State string    `json:"state"`
	Note  string    `json:"note,omitempty" doc:"e.g. which receiver was told"`
}
