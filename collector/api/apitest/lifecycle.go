package apitest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"atalaya/collector/api"
	"atalaya/collector/api/v1"
)

// goneHost is a removed host with all that came back with it.
type goneHost struct {
	v1.RemovedHost
	was v1.Host
}

// RemoveHost implements api.Operations.
func (f *Fleet) RemoveHost(_ context.Context, host, reason string) (out v1.RemovedHost, err error) {
	h, err := f.find(host)
	if err != nil {
		return out, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out = v1.RemovedHost{HostID: h.ID, Host: h.Name, RemovedAt: f.Now, Reason: reason, Tags: h.Tags}
	f.HostList = slices.DeleteFunc(slices.Clone(f.HostList), func(o v1.Host) bool { return o.ID == h.ID })
	f.gone = append(f.gone, goneHost{out, h})
	return out, nil
}

// ReviveHost implements api.Operations.
func (f *Fleet) ReviveHost(_ context.Context, host string) (out v1.Revival, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.gone, func(g goneHost) bool { return g.HostID == host || g.Host == host })
	if f.fail != nil || i < 0 {
		return out, cmp.Or(f.fail, fmt.Errorf("%w: no removed host %q", api.ErrNotFound, host))
	}
	h := f.gone[i].was
	h.State = v1.HostRevoked
	f.gone = slices.Delete(f.gone, i, i+1)
	f.HostList = append(slices.Clone(f.HostList), h)
	return v1.Revival{HostID: h.ID, Host: h.Name, Revoked: true}, nil
}

// RemovedHosts implements api.Operations.
func (f *Fleet) RemovedHosts(context.Context) (out []v1.RemovedHost, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.gone {
		out = append(out, g.RemovedHost)
	}
	return out, f.fail
}

// TagHost implements api.Operations.
func (f *Fleet) TagHost(_ context.Context, host string, change v1.TagChange) (out v1.HostTags, err error) {
	h, err := f.find(host)
	if err != nil {
		return out, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	tags := slices.Concat(h.Tags, change.Add)
	slices.Sort(tags)
	tags = slices.DeleteFunc(slices.Compact(tags), func(tag string) bool { return slices.Contains(change.Remove, tag) })
	f.HostList = slices.Clone(f.HostList)
	for i := range f.HostList {
		if f.HostList[i].ID == h.ID {
			f.HostList[i].Tags = tags
		}
	}
	return v1.HostTags{HostID: h.ID, Host: h.Name, Tags: tags}, nil
}
