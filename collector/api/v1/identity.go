package v1

import (
	"context"
	"time"
)

// Identity is what is known of who a host is.
type Identity struct {
	Now       time.Time         `json:"now"`
	HostID    string            `json:"host_id"`
	Host      string            `json:"host" doc:"host name"`
	Facts     []IdentityFact    `json:"facts" doc:"by which its machine is known again"`
	Addresses []IdentityAddress `json:"addresses" doc:"from which it came, the last first"`
	Events    []IdentityEvent   `json:"events" doc:"newest first"`
	Copies    []IdentityCopy    `json:"copies" doc:"machines with a copy of its key, which were refused"`
	Merges    []IdentityMerge   `json:"merges" doc:"newest first"`
}

// IdentityFact is one fact of a machine, or how one stands to what was known.
type IdentityFact struct {
	Fact      string `json:"fact" doc:"e.g. board serial"`
	Known     string `json:"known,omitempty"`
	Now       string `json:"now,omitempty"`
	Agreement string `json:"agreement,omitempty" doc:"agrees, differs, new, gone or junk"`
	Weight    int    `json:"weight" doc:"what it counts: for when above 0, against when below"`
	Why       string `json:"why,omitempty" doc:"of junk"`
}

// IdentityAddress is where a host came from.
type IdentityAddress struct {
	Address string    `json:"address"`
	First   time.Time `json:"first"`
}

// IdentityEvent is something that happened to who a host is.
type IdentityEvent struct {
	At    time.Time      `json:"at"`
	Kind  string         `json:"kind" doc:"e.g. renamed, reimaged, board-swapped, state-copied, vm-cloned, set-back"`
	Text  string         `json:"text" doc:"why, in a line"`
	By    string         `json:"by,omitempty" doc:"who did it; absent: the collector"`
	Facts []IdentityFact `json:"facts,omitempty" doc:"on which it rests"`
	Merge uint64         `json:"merge,omitempty" doc:"number of the merge it tells of"`
	Times int            `json:"times,omitempty" doc:"how often in a row, when more than once"`
	Last  time.Time      `json:"last,omitzero" doc:"the last of them"`
}

// IdentityCopy is a machine that was refused, because the key it has is another's.
type IdentityCopy struct {
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Kind     string    `json:"kind" doc:"state-copied or vm-cloned"`
	Hostname string    `json:"hostname"`
	Address  string    `json:"address"`
	Times    int       `json:"times" doc:"how often it tried"`
}

// IdentityMerge tells that another host is part of this one, or this one of another.
type IdentityMerge struct {
	Number uint64    `json:"number"`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind" doc:"merged, or what the collector decided: reimaged, reinstalled, came-back"`
	By     string    `json:"by,omitempty" doc:"absent: the collector"`
	Keep   string    `json:"keep" doc:"number of the host that goes on"`
	Other  string    `json:"other" doc:"number of the host that is part of it"`
	Name   string    `json:"name" doc:"of the other"`
	Undone time.Time `json:"undone,omitzero"`
}

// IdentityComparison says whether two hosts may be one machine.
type IdentityComparison struct {
	Now     time.Time      `json:"now"`
	HostID  string         `json:"host_id"`
	Host    string         `json:"host"`
	OtherID string         `json:"other_id"`
	Other   string         `json:"other"`
	Same    bool           `json:"same" doc:"enough agrees to take them for one"`
	For     int            `json:"for" doc:"sum of the weights that agree"`
	Against int            `json:"against" doc:"sum of those that differ"`
	Text    string         `json:"text" doc:"why, in a line"`
	Facts   []IdentityFact `json:"facts"`
}

// MergeRequest asks to make two hosts one.
type MergeRequest struct {
	Other string `json:"other" minLength:"1" maxLength:"255" doc:"name or number of the host that becomes part of the first; a removed one too"`
	Apply bool   `json:"apply,omitempty" doc:"false: only say what would happen"`
}

// UnmergeRequest asks to take the last merge into a host back.
type UnmergeRequest struct {
	Apply bool `json:"apply,omitempty" doc:"false: only say what would happen"`
}

// MergeResult says what a merge or its undo does, or would do.
type MergeResult struct {
	Done       bool               `json:"done" doc:"false: it was a preview"`
	Merge      IdentityMerge      `json:"merge"`
	Comparison IdentityComparison `json:"comparison,omitzero" doc:"of a merge"`
	FactsOf    string             `json:"facts_of,omitempty" doc:"number of the host whose present facts the merged one has: the one seen last of those that have any"`
	Effects    []string           `json:"effects" doc:"a line each"`
}

// Acceptance confirms that a host is the machine that was refused.
type Acceptance struct {
	HostID string `json:"host_id"`
	Host   string `json:"host" doc:"host name"`
	Text   string `json:"text"`
}

// Identity says what is known of who a host is; also of a removed one.
func (c *Client) Identity(ctx context.Context, host string) (Identity, error) {
	return fetch[Identity](ctx, c, "hosts/"+segment(host)+"/identity", nil)
}

// CompareIdentity says whether two hosts may be one machine.
func (c *Client) CompareIdentity(ctx context.Context, host, other string) (IdentityComparison, error) {
	return fetch[IdentityComparison](ctx, c, "hosts/"+segment(host)+"/identity/"+segment(other), nil)
}

// MergeHosts makes a host part of another.
func (c *Client) MergeHosts(ctx context.Context, keep string, r MergeRequest) (MergeResult, error) {
	return post[MergeResult](ctx, c, "hosts/"+segment(keep)+"/merge", r)
}

// UnmergeHost takes the last merge into a host back.
func (c *Client) UnmergeHost(ctx context.Context, keep string, r UnmergeRequest) (MergeResult, error) {
	return post[MergeResult](ctx, c, "hosts/"+segment(keep)+"/unmerge", r)
}

// AcceptMachine gives a host to the machine that was refused last.
func (c *Client) AcceptMachine(ctx context.Context, host string) (Acceptance, error) {
	return post[Acceptance](ctx, c, "hosts/"+segment(host)+"/accept", nil)
}
