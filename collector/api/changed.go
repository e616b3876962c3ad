package api

import (
	"context"
	"fmt"
	"time"

	"atalaya/collector/api/v1"
)

func (a *API) changed(ctx context.Context, in *struct {
	Hosts []string  `query:"host,explode" maxItems:"1000" doc:"names or numbers; all when absent"`
	Tag   string    `query:"tag" maxLength:"64" doc:"only hosts with this tag"`
	From  time.Time `query:"from" doc:"a day before the end when absent"`
	To    time.Time `query:"to" doc:"now when absent"`
	Limit int       `query:"limit" minimum:"1" maximum:"10000" default:"100" doc:"at most so many"`
}) (*body[v1.FleetChanges], error) {
	if len(in.Hosts) > 0 && in.Tag != "" {
		return nil, fmt.Errorf("%w: want either hosts or a tag", ErrInvalid)
	}
	now := a.now()
	if err := a.lastDay(&in.From, &in.To); err != nil {
		return nil, err
	}
	out, err := a.Inventory.Changed(ctx, v1.FleetChangeQuery{Hosts: in.Hosts, Tag: in.Tag, From: in.From, To: in.To, Limit: in.Limit})
	out.Now, out.From, out.To, out.Changes = now, in.From, in.To, nonNil(out.Changes)
	return answer(out, err)
}
