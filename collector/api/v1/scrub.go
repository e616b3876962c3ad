package v1

import (
	"context"
	"time"
)

// Scrub is what a look at the whole state file found.
type Scrub struct {
	Now            time.Time    `json:"now"`
	Bytes          int64        `json:"bytes" doc:"that were read"`
	Pages          uint64       `json:"pages"`
	Records        uint64       `json:"records"`
	Count          int          `json:"count" doc:"findings; 0: the file is sound"`
	Damage         []Damage     `json:"damage" doc:"the first hundred findings"`
	Mended         bool         `json:"mended" doc:"findings were mended"`
	Problem        string       `json:"problem,omitempty" doc:"why they could not be mended, and what to do"`
	AskedAgain     []Doubt      `json:"asked_again" doc:"sections of hosts that are asked for again as a whole, the first thousand"`
	AskedCount     int          `json:"asked_count" doc:"how many there are"`
	Lost           []DamageLoss `json:"lost" doc:"what damage to the state file took at any time, the newest hundred"`
	ElapsedSeconds float64      `json:"elapsed_seconds"`
}

// DamageLoss is what damage took of a table of the state file.
type DamageLoss struct {
	At      time.Time `json:"at"`
	Table   string    `json:"table"`
	Records uint64    `json:"records" doc:"that could not be read, as far as it is known; one at least"`
	What    string    `json:"what" doc:"they were"`
	Became  string    `json:"became" doc:"what became of them"`
}

// Damage is one thing that is wrong with the state file.
type Damage struct {
	Table  string `json:"table,omitempty" doc:"absent where it cannot be told"`
	Page   uint64 `json:"page"`
	Detail string `json:"detail"`
}

// Doubt is a section of a host that has to come again.
type Doubt struct {
	HostName
	Section string `json:"section"`
}

// Scrub verifies the collector's whole state file and mends what can be mended.
func (c *Client) Scrub(ctx context.Context) (Scrub, error) {
	return post[Scrub](ctx, c, "scrub", nil)
}
