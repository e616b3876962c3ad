package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// HealthTask is the Task of a helper that asks a disk how it feels; a disk that dies may
// take minutes to say so. HealthAnswer is what the helper does for it.
const HealthTask = "health"

// What HealthAnswer begins with.
const (
	answerATA    = 'A' // verdict, identity, SMART data, thresholds, device statistics
	answerNVMe   = 'N' // identity (512 bytes), health log
	answerAsleep = 'S'
)

// The verdict of an ATA disk in its answer.
const (
	saidNothing = '?'
	saidPassed  = '+'
	saidFailing = '-'
)

const (
	// healthAge is how old what a disk said may be: its values change slowly, and
	// asking keeps an idle disk from sleeping.
	healthAge = 50 * time.Minute
	// healthWait bounds how long disks are waited for.
	healthWait = 4 * time.Second
)

// readHealth makes a row of an answer; nil for a disk that sleeps.
func readHealth(name string, answer []byte) (*facts.DiskHealthRow, error) {
	row := &facts.DiskHealthRow{Device: name, Verdict: facts.DiskUnknown}
	switch {
	case len(answer) == 1 && answer[0] == answerAsleep:
		return nil, nil
	case len(answer) == 1+2*ataPage && answer[0] == answerNVMe:
		h, err := ParseNVMeHealth(answer[1+ataPage:])
		nvmeHealth(row, answer[1:], h)
		return row, err
	case len(answer) == 2+4*ataPage && answer[0] == answerATA:
	default:
		return row, fmt.Errorf("answer of %d bytes not understood", len(answer))
	}
	pages := answer[2:]
	id, err := ParseATAIdentity(pages)
	if err != nil {
		return row, err
	}
	var passed *bool
	if said := answer[1]; said != saidNothing {
		p := said == saidPassed
		passed = &p
	}
	attributes, err := ParseATASMART(pages[ataPage:], pages[2*ataPage:])
	ataHealth(row, id, attributes, passed)
	if used, ok := ataEndurance(pages[3*ataPage:]); ok {
		row.UsedPercent = &used
	}
	if row.Verdict == facts.DiskUnknown {
		err = nil // it keeps no books that could be wrong
	}
	return row, err
}

// watched reports whether a disk may keep books of its health that we can read: those of
// libata and of SAS adapters call ATA disks so.
func (d device) watched() bool {
	return strings.HasPrefix(d.name, "nvme") || strings.HasPrefix(d.name, "sd") && d.text("device/vendor") == "ATA"
}

// askHealth asks the disks through a helper. What one said before stands while it sleeps or
// does not answer.
func (s *storage) askHealth(ctx context.Context, v *survey) {
	var names []string
	inquiry := probe.Inquiry{MaxAge: healthAge, Wait: healthWait}
	for _, d := range v.devices {
		if d.watched() {
			names = append(names, d.name)
			inquiry.Questions = append(inquiry.Questions, probe.Question{Task: HealthTask, Path: "/dev/" + d.name})
		}
	}
	if len(names) == 0 {
		return
	}
	v.host.Ask(ctx, &inquiry)
	before := s.health
	s.health = make(map[string]*facts.DiskHealthRow, len(names))
	for i, name := range names {
		a := inquiry.Answers[i]
		row := before[name]
		if a.Err == nil {
			got, err := readHealth(name, a.Data)
			if err != nil {
				v.report.Problem(facts.DiskHealth, fmt.Errorf("%s: %w", name, err))
			} else if got != nil {
				row = got
			}
			if row == nil && err == nil {
				row = &facts.DiskHealthRow{Device: name, Protocol: "ata", Verdict: facts.DiskUnknown, Reasons: "asleep"}
			}
		} else {
			v.report.Problem(facts.DiskHealth, refused(name, a.Err))
		}
		if row != nil {
			s.health[name] = row
			v.report.Add(facts.DiskHealth, row)
		}
	}
}

// refused says what rights are lacking, in the same words for all disks. A service with a
// /dev of its own has no node of a disk that the kernel lists.
func refused(name string, err error) error {
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return err
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("asking disks takes CAP_SYS_RAWIO (ATA) or CAP_SYS_ADMIN (NVMe) and access to /dev, which the agent has where smart.conf is installed (docs/operations.md): %w", fs.ErrPermission)
	}
	return fmt.Errorf("%s: %w", name, err)
}
