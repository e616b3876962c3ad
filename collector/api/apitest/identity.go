package apitest

import (
	"context"
	"fmt"
	"time"

	"atalaya/collector/api"
	"atalaya/collector/api/v1"
)

// Identity implements api.Identities: each host has one card, was renamed, and a copy
// of its disk was refused.
func (f *Fleet) Identity(ctx context.Context, host string) (v1.Identity, error) {
	doc, err := f.Host(ctx, host, false, nil)
	if err != nil {
		return v1.Identity{}, err
	}
	return v1.Identity{
		HostID: doc.Host.ID, Host: doc.Host.Name,
		Facts:     []v1.IdentityFact{{Fact: "board serial", Known: "default string", Agreement: "junk", Why: "a maker's fill-in"}, {Fact: "network card", Known: "3c:ec:ef:12:34:56", Now: "3c:ec:ef:12:34:56", Agreement: "agrees", Weight: 40}},
		Addresses: []v1.IdentityAddress{{Address: "192.0.2.7", First: f.Now.Add(-time.Hour)}},
		Events:    []v1.IdentityEvent{{At: f.Now.Add(-time.Hour), Kind: "renamed", Text: "old is now called " + doc.Host.Name + ": same key; network card agree"}},
		Copies:    []v1.IdentityCopy{{First: f.Now.Add(-time.Hour), Last: f.Now.Add(-time.Minute), Kind: "vm-cloned", Hostname: "copy", Address: "192.0.2.8", Times: 3}},
	}, nil
}

// CompareIdentity implements api.Identities: no two hosts are one.
func (f *Fleet) CompareIdentity(ctx context.Context, host, other string) (v1.IdentityComparison, error) {
	a, err1 := f.Host(ctx, host, false, nil)
	b, err2 := f.Host(ctx, other, false, nil)
	if err1 != nil {
		return v1.IdentityComparison{}, err1
	}
	return v1.IdentityComparison{
		HostID: a.Host.ID, Host: a.Host.Name, OtherID: b.Host.ID, Other: b.Host.Name, Against: 40, Text: "not enough agrees",
		Facts: []v1.IdentityFact{{Fact: "network card", Known: "3c:ec:ef:12:34:56", Now: "3c:ec:ef:65:43:21", Agreement: "differs", Weight: -40}},
	}, err2
}

// MergeHosts implements api.Identities.
func (f *Fleet) MergeHosts(ctx context.Context, keep string, r v1.MergeRequest, by string) (v1.MergeResult, error) {
	c, err := f.CompareIdentity(ctx, keep, r.Other)
	if err != nil {
		return v1.MergeResult{}, err
	}
	return v1.MergeResult{
		Done: r.Apply, Comparison: c, FactsOf: c.HostID, Effects: []string{"the two are one"},
		Merge: v1.IdentityMerge{Number: 1, At: f.Now, Kind: "merged", By: by, Keep: c.HostID, Other: c.OtherID, Name: c.Other},
	}, nil
}

// UnmergeHost implements api.Identities.
func (f *Fleet) UnmergeHost(ctx context.Context, keep string, r v1.UnmergeRequest, _ string) (v1.MergeResult, error) {
	doc, err := f.Host(ctx, keep, false, nil)
	if err != nil {
		return v1.MergeResult{}, err
	}
	return v1.MergeResult{
		Done: r.Apply, Effects: []string{"the two are two again"},
		Merge: v1.IdentityMerge{Number: 1, At: f.Now, Kind: "reimaged", Keep: doc.Host.ID, Other: "4f4f4f4f4f4f4f4f", Name: "new"},
	}, nil
}

// AcceptMachine implements api.Identities.
func (f *Fleet) AcceptMachine(ctx context.Context, host, _ string) (v1.Acceptance, error) {
	doc, err := f.Host(ctx, host, false, nil)
	if err != nil {
		return v1.Acceptance{}, err
	}
	if doc.Host.State == v1.HostRevoked {
		return v1.Acceptance{}, fmt.Errorf("%w: no machine was refused as a copy of this host", api.ErrInvalid)
	}
	return v1.Acceptance{HostID: doc.Host.ID, Host: doc.Host.Name, Text: "the key was given to copy at 192.0.2.8"}, nil
}
