//! The crate's management client, method by method. A key is no person: it leaves no project, and changes no member.
use std::time::Duration;

use deepgram::{
    manage::{keys, projects, usage},
    Deepgram,
};
use tokio::time::sleep;

pub async fn walk(client: &Deepgram, request_id: &str) {
    let project = client.projects().list().await.expect("projects").projects[0].project_id.to_string();
    let project = project.as_str();
    assert!(!client.projects().get(project).await.expect("project").name.is_empty());
    let named = projects::options::Options::builder().name("Demo").build();
    client.projects().update(project, &named).await.expect("update");

    let models = client.models().get_models().await.expect("models");
    let model = models.stt[0].uuid.clone().expect("a model's id");
    assert!(!client.models().get_models_including_outdated().await.expect("all models").stt.is_empty());
    assert!(client.models().get_model(&model).await.expect("model").name.is_some());
    assert!(!client.models().get_project_models(project).await.expect("the project's models").stt.is_empty());
    let all = client.models().get_project_models_including_outdated(project).await;
    assert!(!all.expect("all of the project's models").stt.is_empty());
    assert!(client.models().get_project_model(project, &model).await.expect("the project's model").name.is_some());

    let options = keys::options::Options::builder("rust", ["usage:read"])
        .tag(["a"])
        .time_to_live_in_seconds(300)
        .build();
    let key = client.keys().create(project, &options).await.expect("create a key").api_key_id.to_string();
    assert!(client.keys().list(project).await.expect("keys").api_keys.len() > 1);
    let found = client.keys().get(project, &key).await.expect("key");
    assert_eq!(found.api_key.comment, "rust");
    client.keys().delete(project, &key).await.expect("delete the key");

    let members = client.members().list_members(project).await.expect("members");
    let member = members.members[0].member_id.to_string();
    assert!(!client.scopes().get_scope(project, &member).await.expect("scopes").scopes.is_empty());
    assert!(client.scopes().update_scope(project, &member, "member").await.is_err());
    assert!(client.members().remove_member(project, &member).await.is_err());
    assert!(client.invitations().leave_project(project).await.is_err());

    // Usage is there some seconds after the response.
    let mut found = client.usage().get_request(project, request_id).await;
    for _ in 0..1000 {
        if found.as_ref().is_ok_and(|request| request.response.is_some()) {
            break;
        }
        sleep(Duration::from_millis(200)).await;
        found = client.usage().get_request(project, request_id).await;
    }
    let details = found.expect("request").response.expect("its response").details.expect("its details");
    assert!(details.duration > Some(0.0) && !details.models.is_empty());
    let options = usage::list_requests_options::Options::builder()
        .limit(10)
        .status(usage::list_requests_options::Status::Succeeded)
        .build();
    assert!(!client.usage().list_requests(project, &options).await.expect("requests").requests.is_empty());
    let options = usage::get_usage_options::Options::builder()
        .tag(["a", "b"])
        .method([usage::get_usage_options::Method::Sync])
        .model(["nova-3", &model])
        .punctuate(true)
        .alternatives(false)
        .build();
    assert!(!client.usage().get_usage(project, &options).await.expect("usage").results.is_empty());
    let options = usage::get_fields_options::Options::builder().build();
    assert!(!client.usage().get_fields(project, &options).await.expect("fields").models.is_empty());

    let balance = client.billing().list_balance(project).await.expect("balances").balances[0].balance_id.to_string();
    assert!(client.billing().get_balance(project, &balance).await.expect("balance").amount > 0.0);
}
