package agent

import (
	"context"
	"errors"
	"fmt"

	"atalaya/agent/probe"
	"atalaya/agent/probe/packages"
	"atalaya/shared/facts"
)

// installedRPMs hands the rpm packages that the family packages reads to the family
// patches: families do not know each other. It has a reader of its own, which reads the
// database again only when that has changed.
func installedRPMs() func(context.Context, *probe.Host) ([]*facts.PackageRow, error) {
	reader := packages.NewSystem("rpm")
	return func(ctx context.Context, h *probe.Host) ([]*facts.PackageRow, error) {
		res := probe.RunOnce(ctx, h, reader)
		var rows []*facts.PackageRow
		for _, reading := range res.Readings {
			if reading.Section != facts.Packages {
				continue
			}
			for _, row := range reading.Rows {
				if p, ok := row.(*facts.PackageRow); ok && p.Source == "rpm" && p.State == "" {
					rows = append(rows, p)
				}
			}
			if !reading.Status.Complete() {
				return rows, fmt.Errorf("%s: %s", reading.Status, reading.Reason)
			}
		}
		if len(rows) == 0 {
			return nil, errors.New("the rpm database has no package")
		}
		return rows, res.Err
	}
}
