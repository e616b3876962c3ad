package v1

import "time"

// The kinds of a token.
const (
	TokenEnrol = "enrol" // lets one agent enrol
	TokenAPI   = "api"   // lets a program use this interface
)

// Token is a token without its secret.
type Token struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind" doc:"enrol or api"`
	Role       string    `json:"role,omitempty" doc:"of an api token: reader, operator or admin"`
	Note       string    `json:"note,omitempty"`
	State      string    `json:"state" doc:"valid, used, expired or revoked"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero" doc:"to the hour for api tokens"`
	HostID     string    `json:"host_id,omitempty" doc:"that an enrolment token was used for"`
}

// TokenList is all tokens, newest first.
type TokenList struct {
	Now    time.Time `json:"now"`
	Tokens []Token   `json:"tokens"`
}

// TokenRequest asks for a new token.
type TokenRequest struct {
	Kind       string `json:"kind" enum:"enrol,api" doc:"enrol: for one agent; api: for programs"`
	Role       string `json:"role,omitempty" enum:"reader,operator,admin" doc:"of an api token"`
	Note       string `json:"note,omitempty" maxLength:"200"`
	TTLSeconds int64  `json:"ttl_seconds,omitempty" minimum:"0" maximum:"31622400" doc:"0: a day for enrol, 90 days for api"`
	Count      int    `json:"count,omitempty" minimum:"0" maximum:"1000" doc:"how many; 0: one; several only for enrol"`
	Address    string `json:"address,omitempty" maxLength:"260" doc:"host:port at which agents reach the collector; only for enrol"`
}

// MaxTokens is how many tokens one request may ask for.
const MaxTokens = 1000

// NewToken is the only document that ever shows a token's secret.
type NewToken struct {
	Token
	Secret string     `json:"secret" doc:"shown this once"`
	More   []NewToken `json:"more,omitempty" doc:"the others, when several were asked for"`
}

// Revocation confirms that a host's certificate is refused from now on.
type Revocation struct {
	HostID    string    `json:"host_id"`
	Host      string    `json:"host" doc:"host name"`
	RevokedAt time.Time `json:"revoked_at"`
}

// Status is how the collector itself is.
type Status struct {
	Now         time.Time   `json:"now"`
	Version     string      `json:"version"`
	StartedAt   time.Time   `json:"started_at"`
	CIs         int         `json:"cis" doc:"configuration items that are there or remembered"`
	Sessions    int         `json:"sessions" doc:"agents connected"`
	Hosts       HostCounts  `json:"hosts"`
	Series      *uint64     `json:"series" doc:"in memory; null while metrics are not available"`
	Alerts      AlertCounts `json:"alerts"`
	Changes     uint64      `json:"changes" doc:"entries of the change log"`
	StoreBytes  int64       `json:"store_bytes" doc:"state file"`
	SeriesBytes int64       `json:"series_bytes" doc:"metrics on disk"`
	LostBatches uint64      `json:"lost_batches" doc:"that agents had to drop, all hosts"`
	// Warnings are a sentence each: what an administrator should look at.
	Warnings []string `json:"warnings,omitempty"`
}

// HostCounts counts hosts by state.
type HostCounts struct {
	Total   int `json:"total"`
	Online  int `json:"online"`
	Silent  int `json:"silent"`
	Revoked int `json:"revoked"`
}

// AlertCounts counts alerts by state.
type AlertCounts struct {
	Pending int `json:"pending"`
	Firing  int `json:"firing"`
}
