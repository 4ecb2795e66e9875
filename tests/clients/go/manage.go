// The SDK's management client, method by method. A key may not leave a project, nor delete one (the SDK hides that error).
package main

import (
	"context"
	"fmt"
	"time"

	api "github.com/deepgram/deepgram-go-sdk/v3/pkg/api/manage/v1"
	types "github.com/deepgram/deepgram-go-sdk/v3/pkg/api/manage/v1/interfaces"
	"github.com/deepgram/deepgram-go-sdk/v3/pkg/client/interfaces"
	"github.com/deepgram/deepgram-go-sdk/v3/pkg/client/manage"
)

func walk(ctx context.Context, url, key, requestID string) (faults []string) {
	m := api.New(manage.New(key, &interfaces.ClientOptions{Host: url}))
	check := func(name string, filled bool, err error) {
		if err != nil {
			faults = append(faults, name+": "+err.Error())
		} else if !filled {
			faults = append(faults, name+": nothing in it")
		}
	}
	projects, err := m.ListProjects(ctx)
	check("ListProjects", err == nil && len(projects.Projects) > 0, err)
	if err != nil {
		return
	}
	project := projects.Projects[0].ProjectID
	one, err := m.GetProject(ctx, project)
	check("GetProject", err == nil && one.Name != "", err)
	said, err := m.UpdateProject(ctx, project, &types.ProjectUpdateRequest{Name: "Demo"})
	check("UpdateProject", err == nil && said.Message != "", err)

	models, err := m.ListModels(ctx, &types.ModelRequest{})
	check("ListModels", err == nil && len(models.Stt) > 0, err)
	models, err = m.GetProjectModels(ctx, project, &types.ModelRequest{IncludeOutdated: true})
	check("GetProjectModels", err == nil && len(models.Stt) > 0, err)
	model, err := m.GetModel(ctx, models.Stt[0].UUID)
	check("GetModel", err == nil && model.Name != "", err)
	model, err = m.GetProjectModel(ctx, project, models.Stt[0].UUID)
	check("GetProjectModel", err == nil && model.Name != "", err)

	made, err := m.CreateKey(ctx, project, &types.KeyCreateRequest{Comment: "go", Scopes: []string{"usage:read"}, TimeToLive: 300})
	check("CreateKey", err == nil && made.Key != "", err)
	keys, err := m.ListKeys(ctx, project)
	check("ListKeys", err == nil && len(keys.APIKeys) > 1 && keys.APIKeys[0].Member.Email != "", err)
	got, err := m.GetKey(ctx, project, made.APIKeyID)
	check("GetKey", err == nil && got.APIKey.APIKeyID == made.APIKeyID && got.Member.MemberID != "", err)
	said, err = m.DeleteKey(ctx, project, made.APIKeyID)
	check("DeleteKey", err == nil, err)

	members, err := m.ListMembers(ctx, project)
	check("ListMembers", err == nil && members.Members[0].Email != "", err)
	scopes, err := m.GetMemberScopes(ctx, project, members.Members[0].MemberID)
	check("GetMemberScopes", err == nil && len(scopes.Scopes) > 0, err)
	said, err = m.SendInvitation(ctx, project, &types.InvitationRequest{Email: "{go}@example.com", Scope: "member"})
	check("SendInvitation", err == nil, err)
	invites, err := m.ListInvitations(ctx, project)
	check("ListInvitations", err == nil && len(invites.Invites) == 1, err)
	said, err = m.DeleteInvitation(ctx, project, "{go}@example.com")
	check("DeleteInvitation", err == nil, err)

	listed, err := m.ListRequests(ctx, project, &types.UsageListRequest{Limit: 10, Status: "succeeded"})
	check("ListRequests", err == nil && len(listed.Requests) > 0 && listed.Requests[0].Response.Completed != "", err)
	request, err := m.GetRequest(ctx, project, requestID)
	// Usage is there some seconds after the response.
	for tries := 0; tries < 100 && (err != nil || request.Response.Completed == ""); tries++ {
		time.Sleep(200 * time.Millisecond)
		request, err = m.GetRequest(ctx, project, requestID)
	}
	check("GetRequest", err == nil && request.RequestID == requestID && request.Response.Details.Duration > 0, err)
	fields, err := m.GetFields(ctx, project, &types.UsageListRequest{})
	check("GetFields", err == nil && len(fields.Models) > 0, err)
	usage, err := m.GetUsage(ctx, project, &types.UsageRequest{Method: "sync", Punctuate: true, SentimentThreshold: 0.5, Tag: []string{"a", "b"}})
	check("GetUsage", err == nil && len(usage.Results) > 0, err)

	balances, err := m.ListBalances(ctx, project)
	check("ListBalances", err == nil && len(balances.Balances) > 0 && balances.Balances[0].PurchaseOrderID != "", err)
	balance, err := m.GetBalance(ctx, project, balances.Balances[0].BalanceID)
	check("GetBalance", err == nil && balance.Amount > 0, err)

	if _, err := m.LeaveProject(ctx, project); err == nil {
		faults = append(faults, "LeaveProject: a key left the project")
	}
	if len(faults) == 0 {
		fmt.Println(`{"wire": "management"}`)
	}
	return
}
