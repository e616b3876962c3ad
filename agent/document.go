package agent

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"atalaya/shared/facts"
)

// Schema names the form of Document. A change that breaks readers gets a new number.
const Schema = "atalaya.inventory/1"

// Document is a whole inventory as `atalaya-agent inventory --format json` prints it.
type Document struct {
	Schema      string                     `json:"schema"`
	CollectedAt facts.Time                 `json:"collected_at"`
	Host        DocumentHost               `json:"host"`
	Sections    map[string]DocumentSection `json:"sections"`
}

// DocumentHost is the head of a Document: what names the machine.
type DocumentHost struct {
	Hostname  string `json:"hostname,omitempty"`
	OS        string `json:"os,omitempty"`
	Arch      string `json:"arch,omitempty"`
	MachineID string `json:"machine_id,omitempty"` // a hash, see facts.OSRow
}

// DocumentSection is one section: its status, its rows, and for patches the verdict.
type DocumentSection struct {
	Status facts.Status `json:"status"`
	Reason string       `json:"reason,omitempty"`
	Rows   []facts.Row  `json:"rows"`
	*PatchVerdict
}

// PatchVerdict stands beside the rows of the section patches. It is the row of
// patch_state with the age of the index, which is no fact, counted from its time.
type PatchVerdict struct {
	Verdict         string     `json:"verdict"`
	VerdictReason   string     `json:"verdict_reason,omitempty"`
	IndexTime       facts.Time `json:"index_time,omitempty,omitzero"`
	IndexAgeSeconds *int64     `json:"index_age_seconds,omitempty"`
	RebootRequired  *bool      `json:"reboot_required,omitempty"`
	RebootReasons   []string   `json:"reboot_reasons,omitempty"`
}

// NewDocument makes the document of the readings taken at now.
func NewDocument(readings []facts.Reading, now time.Time) Document {
	d := Document{Schema: Schema, CollectedAt: facts.TimeOf(now), Sections: make(map[string]DocumentSection, len(readings))}
	var verdict *PatchVerdict
	for _, r := range readings {
		s := DocumentSection{Status: r.Status, Reason: r.Reason, Rows: r.Rows}
		if s.Rows == nil {
			s.Rows = []facts.Row{}
		}
		d.Sections[r.Section.String()] = s
		for _, row := range r.Rows {
			switch row := row.(type) {
			case *facts.OSRow:
				d.Host = DocumentHost{Hostname: row.Hostname, OS: row.Name, Arch: row.Arch, MachineID: row.MachineID}
			case *facts.PatchStateRow:
				verdict = newPatchVerdict(row, now)
			}
		}
	}
	if s, ok := d.Sections[facts.Patches.String()]; ok && verdict != nil {
		s.PatchVerdict = verdict
		if s.Reason == "" {
			s.Reason = verdict.VerdictReason // a reading that went well can still prove nothing
		}
		d.Sections[facts.Patches.String()] = s
	}
	return d
}

func newPatchVerdict(row *facts.PatchStateRow, now time.Time) *PatchVerdict {
	v := &PatchVerdict{
		Verdict:        row.Verdict,
		VerdictReason:  row.Reason,
		IndexTime:      row.IndexTime,
		RebootRequired: row.RebootRequired,
		RebootReasons:  row.RebootReasons,
	}
	if age := int64(now.Sub(row.IndexTime.Time()).Seconds()); row.IndexTime != 0 && age >= 0 { // none where it is dated ahead
		v.IndexAgeSeconds = &age
	}
	return v
}

// WriteJSON prints the document, indented, so that two documents can be compared by line.
func (d Document) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("write inventory: %w", err)
	}
	return nil
}

// Keep drops all sections but the given ones; none given keeps all.
func (d Document) Keep(sections []facts.ID) {
	if len(sections) == 0 {
		return
	}
	maps.DeleteFunc(d.Sections, func(name string, _ DocumentSection) bool {
		return !slices.ContainsFunc(sections, func(id facts.ID) bool { return id.String() == name })
	})
}
