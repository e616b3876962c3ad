package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
)

func (a *API) alertRoutes(routes huma.API) {
	get(routes, "/api/v1/rules", "list-rules", "List alert rules by group", a.rules)
	register(routes, http.MethodPost, "/api/v1/rules/check", "check-rules", "Check a rule file without using it", http.StatusOK, a.checkRules)
	get(routes, "/api/v1/alerts", "list-alerts", "List alerts, firing ones first", a.listAlerts)
	get(routes, "/api/v1/alerts/{id}", "get-alert", "An alert with its history", a.alert)
}

func (a *API) rules(ctx context.Context, _ *struct{}) (*body[v1.RuleList], error) {
	rules, err := a.Alerts.Rules(ctx)
	return answer(v1.RuleList{Now: a.now(), Rules: nonNil(rules)}, err)
}

func (a *API) checkRules(ctx context.Context, in *struct {
	Body struct {
		Content string `json:"content" maxLength:"1000000" doc:"the file: YAML in Prometheus' form"`
	}
}) (*body[v1.RuleCheck], error) {
	out, err := a.Alerts.CheckRules(ctx, in.Body.Content)
	out.Problems = nonNil(out.Problems)
	return answer(out, err)
}

func (a *API) listAlerts(ctx context.Context, in *struct {
	State string `query:"state" enum:"pending,firing" doc:"both when absent"`
	PageParams
}) (*body[v1.AlertPage], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	out, err := a.Alerts.Alerts(ctx, v1.AlertQuery{State: in.State, Page: page})
	out.Now, out.Alerts, out.Next = a.now(), nonNil(out.Alerts), opaque(out.Next)
	return answer(out, err)
}

func (a *API) alert(ctx context.Context, in *struct {
	ID string `path:"id" minLength:"1" maxLength:"128"`
}) (*body[v1.AlertDetail], error) {
	out, err := a.Alerts.Alert(ctx, in.ID)
	out.Now, out.History = a.now(), nonNil(out.History)
	return answer(out, err)
}
