package api

import (
	"context"
	"errors"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
)

// maxDoubts is how many sections a scrub names.
const maxDoubts = 1000

// Scrub implements Operations. What cannot be mended is told, not failed: the finding
// is the answer.
func (b operationsBackend) Scrub(context.Context) (out v1.Scrub, err error) {
	began := time.Now()
	r, err := b.Store.Scrub()
	if err != nil {
		return out, classify(err)
	}
	out.Bytes, out.Pages, out.Records, out.Count = int64(r.Bytes), r.Pages, r.Records, r.Count
	for _, d := range r.Damage {
		out.Damage = append(out.Damage, v1.Damage{Table: d.Table, Page: d.Page, Detail: d.Detail})
	}
	if r.Count > 0 {
		if err := errors.Join(b.Store.Repair(r), b.Sources.Assets.CatchUp(), ledger.CatchUp(b.Store)); err != nil {
			b.Log.Error("the state file is damaged and was not mended", "findings", r.Count, "err", err)
			out.Problem = "not mended while it runs: restart the collector, which copies what can be read into a fresh file, or says why it cannot; its log says more"
		} else {
			out.Mended = true
		}
	}
	err = b.Store.View(func(tx *store.Tx) error {
		lost, err := tx.Lost()
		if err != nil {
			return err
		}
		for _, l := range lost {
			out.Lost = append(out.Lost, v1.DamageLoss{At: l.At, Table: l.Table, Records: l.Records, What: l.What, Became: l.Became})
		}
		return tx.Hosts(func(h store.Host) error {
			states, err := tx.Sections(h.ID)
			for _, s := range states {
				if !s.Doubtful {
					continue
				}
				if out.AskedCount++; len(out.AskedAgain) < maxDoubts {
					out.AskedAgain = append(out.AskedAgain, v1.Doubt{HostName: v1.HostName{HostID: h.ID.String(), Host: h.Name}, Section: s.Section.String()})
				}
			}
			return err
		})
	})
	out.ElapsedSeconds = time.Since(began).Seconds()
	if out.Problem != "" {
		return out, nil // what is damaged may be what was to be read
	}
	return out, classify(err)
}
