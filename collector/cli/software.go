package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

func (c *client) packageCommands() *cobra.Command {
	return noun("package", "Software packages on the whole fleet", c.packageFind())
}

func (c *client) packageFind() *cobra.Command {
	var q v1.PackageQuery
	var asOf string
	cmd := &cobra.Command{
		Use:   "find NAME",
		Short: "Find the hosts that have a package, by name and version",
		Long: "Find the hosts that have a package. NAME is exact, or a pattern with * and ?. Versions\n" +
			"are compared in the order of each package's own system (dpkg, rpm, apk ...).",
		Example: "  atalaya package find openssl\n  atalaya package find openssl --below 3.0.15-1~deb12u1\n  atalaya package find 'linux-image-*' --output csv\n  atalaya package find openssl --as-of 7d",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			q.Name = args[0]
			if strings.TrimSpace(q.Name) == "" {
				return usagef("want the name of a package, as in: atalaya package find openssl")
			}
			for _, name := range []string{"below", "above", "version"} {
				if f := cmd.Flags().Lookup(name); f.Changed && strings.TrimSpace(f.Value.String()) == "" {
					return usagef("--%s: no version is given, as in: atalaya package find openssl --%s 3.0.15", name, name)
				}
			}
			if q.AsOf, err = parseState("as-of", asOf, c.env.Now()); err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				var doc v1.PackagePage
				found, _, err := all(0, func(p v1.Page) ([]v1.HostPackage, string, error) {
					q.Page = p
					page, err := api.Packages(ctx, q)
					doc = page
					return page.Packages, page.Next, err
				})
				doc.Packages, doc.Next = notNil(found), ""
				if n := len(doc.Uncomparable); n > 0 && c.output != formatJSON {
					c.say(fmt.Sprintf("%d versions cannot be compared with that and are left out, e.g. %s", n, doc.Uncomparable[0]))
				}
				none := "no host has such a package"
				if len(doc.Uncomparable) > 0 {
					none = "no host has a version that can be compared and fits"
				}
				return c.answer(err, doc, func() view { return list(packageTable(doc), none) })
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Below, "below", "", "only versions older than `version`")
	f.StringVar(&q.Above, "above", "", "only versions newer than `version`")
	f.StringVar(&q.Version, "version", "", "only this `version`")
	f.StringVar(&asOf, "as-of", "", "`time` of the answer, e.g. 2026-11-20 or 7d (default now)")
	return cmd
}

func packageTable(doc v1.PackagePage) table {
	t := table{columns: []column{
		{title: "HOST", name: "host"}, {title: "PACKAGE", name: "name"}, {title: "VERSION", name: "version"}, {title: "ARCH", name: "arch"},
		{title: "SOURCE", name: "source"}, {title: "READ", name: "known_at"}, {name: "host_id", exact: true},
	}}
	for _, p := range doc.Packages {
		t.add(text(p.Host), text(p.Name), text(p.Version), orAbsent(p.Arch), text(p.Source), ago(doc.Now, p.KnownAt), text(p.HostID))
	}
	return t
}

func (c *client) patchCommands() *cobra.Command {
	return noun("patch", "Patch state with its proof", c.patchStatus())
}

func (c *client) patchStatus() *cobra.Command {
	var q v1.PatchQuery
	cmd := &cobra.Command{
		Use:   "status [HOST]",
		Short: "Show the patch verdict of all hosts, or of one with its updates",
		Long: "Show patch verdicts. current: nothing to do, by an index that is fresh enough to say so.\n" +
			"pending: updates wait. unknown: the proof does not suffice, and REASON says why.\n" +
			"unsupported: no package system that can be judged.",
		Example: "  atalaya patch status\n  atalaya patch status web1\n  atalaya patch status --verdict unknown --output csv",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Host = strings.Join(args, "")
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				var doc v1.PatchPage
				hosts, _, err := all(0, func(p v1.Page) ([]v1.PatchStatus, string, error) {
					q.Page = p
					page, err := api.Patches(ctx, q)
					doc.Now = page.Now
					return page.Hosts, page.Next, err
				})
				slices.SortFunc(hosts, func(a, b v1.PatchStatus) int {
					return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.HostID, b.HostID))
				})
				doc.Hosts = notNil(hosts)
				return c.answer(err, doc, func() view {
					if q.Host != "" && len(hosts) == 1 {
						return patchView(doc)
					}
					return list(patchTable(doc), "no host matches")
				})
			})
		},
	}
	choice{&q.Verdict, v1.Verdicts()}.flag(cmd, "verdict", "only hosts with this `verdict`")
	return cmd
}

func patchTable(doc v1.PatchPage) table {
	t := table{columns: []column{
		{title: "HOST", name: "host"}, {title: "VERDICT", name: "verdict"}, {title: "PENDING", name: "pending", right: true},
		{title: "SECURITY", name: "security", right: true}, {title: "REBOOT", name: "reboot_required"},
		{title: "INDEX", name: "index_time"}, {title: "REASON", name: "reason"}, {name: "host_id", exact: true}, {name: "reboot_reasons", exact: true},
	}}
	for _, h := range doc.Hosts {
		pending, security := patchCounts(h.Verdict)
		t.add(text(h.Host), word(h.Verdict.Verdict), pending, security, yesNo(h.RebootRequired, warn),
			ago(doc.Now, h.IndexTime), text(h.Reason), text(h.HostID), text(strings.Join(h.RebootReasons, "; ")))
	}
	return t
}

// patchView shows one host's verdict and the updates behind it.
func patchView(doc v1.PatchPage) view {
	h := doc.Hosts[0]
	p := &pairs{}
	p.add("host", text(h.Host))
	p.add("verdict", word(h.Verdict.Verdict))
	p.add("reason", text(h.Reason))
	pending, security := patchCounts(h.Verdict)
	p.add("pending", pending)
	p.add("security", security)
	p.add("held", count(h.Held))
	p.add("index read", ago(doc.Now, h.IndexTime))
	reboot := yesNo(h.RebootRequired, warn)
	if len(h.RebootReasons) > 0 {
		reboot.text += ": " + strings.Join(h.RebootReasons, "; ")
	}
	p.add("reboot", reboot)
	t := table{columns: []column{
		{title: "PACKAGE", name: "name"}, {title: "INSTALLED", name: "installed"}, {title: "CANDIDATE", name: "candidate"},
		{title: "SECURITY", name: "security"}, {title: "STATE", name: "state"}, {title: "ORIGIN", name: "origin"}, {title: "REASON", name: "reason"},
		{name: "arch", exact: true}, {name: "source", exact: true},
	}}
	for _, u := range h.Updates {
		t.add(text(u.Name), orAbsent(u.Installed), text(u.Candidate), yesNo(&u.Security, bad), word(u.State), text(u.Origin), text(u.Reason),
			text(u.Arch), text(u.Source))
	}
	return view{pairs: p, blocks: []block{{table: t}}}
}
