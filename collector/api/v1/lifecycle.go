package v1

import (
	"context"
	"errors"
	"time"
	"unicode"
	"unicode/utf8"
)

// The states of a host.
const (
	HostOnline  = "online"  // heard of within the time its heartbeat promises
	HostSilent  = "silent"  // was heard of once, and is not now
	HostRevoked = "revoked" // its certificate is refused
)

// RemoveRequest says why a host is removed.
type RemoveRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"200"`
}

// RemovedHost is a host that was taken out of the fleet. Its past stays as long as the
// history is kept, its record for ever.
type RemovedHost struct {
	HostID    string    `json:"host_id"`
	Host      string    `json:"host" doc:"host name"`
	RemovedAt time.Time `json:"removed_at"`
	Reason    string    `json:"reason,omitempty"`
	Tags      []string  `json:"tags,omitempty"`
}

// RemovedHosts are all of them, the last one first.
type RemovedHosts struct {
	Now   time.Time     `json:"now"`
	Hosts []RemovedHost `json:"hosts"`
}

// Revival confirms that a host is of the fleet again.
type Revival struct {
	HostID  string `json:"host_id"`
	Host    string `json:"host" doc:"host name"`
	Keys    int    `json:"keys" doc:"keys of it that are trusted again: those refused because it was removed"`
	Revoked bool   `json:"revoked" doc:"its certificate is still refused: it was revoked, not only removed"`
}

// TagChange adds tags to a host and takes tags away.
type TagChange struct {
	Add    []string `json:"add,omitempty" maxItems:"64"`
	Remove []string `json:"remove,omitempty" maxItems:"64"`
}

// HostTags are the tags of a host, sorted.
type HostTags struct {
	HostID string   `json:"host_id"`
	Host   string   `json:"host" doc:"host name"`
	Tags   []string `json:"tags"`
}

// MaxTags is how many tags a host may have, maxTag how many bytes one.
const (
	MaxTags = 64
	maxTag  = 64
)

// CheckTag says what is wrong with a tag.
func CheckTag(tag string) error {
	if tag == "" || len(tag) > maxTag || !utf8.ValidString(tag) {
		return errors.New("a tag has 1 to 64 bytes")
	}
	for i, r := range tag {
		word := unicode.IsLetter(r) || unicode.IsDigit(r)
		if !word && (i == 0 || r > 0x7f || !validInTag(byte(r))) {
			return errors.New("a tag begins with a letter or digit and holds those and . _ : / = -")
		}
	}
	return nil
}

func validInTag(b byte) bool {
	switch b {
	case '.', '_', ':', '/', '=', '-':
		return true
	}
	return false
}

// RemoveHost takes a host out of the fleet and refuses its certificate from now on.
func (c *Client) RemoveHost(ctx context.Context, host, reason string) (RemovedHost, error) {
	return post[RemovedHost](ctx, c, "hosts/"+segment(host)+"/remove", RemoveRequest{Reason: reason})
}

// ReviveHost brings a removed host back, by its number or its last name.
func (c *Client) ReviveHost(ctx context.Context, host string) (Revival, error) {
	return post[Revival](ctx, c, "hosts/"+segment(host)+"/revive", nil)
}

// RemovedHosts lists the hosts that were removed.
func (c *Client) RemovedHosts(ctx context.Context) (RemovedHosts, error) {
	return fetch[RemovedHosts](ctx, c, "removed-hosts", nil)
}

// TagHost adds tags to a host and takes tags away.
func (c *Client) TagHost(ctx context.Context, host string, change TagChange) (HostTags, error) {
	return post[HostTags](ctx, c, "hosts/"+segment(host)+"/tags", change)
}
