//! Two accounts, one of which knows every id of the other's, and gets 404 for it: at every operation of
//! OpenAPI, in paths, queries and bodies, and at the doors that have no OpenAPI.
//!
//! What names something is read from the description. An operation, parameter or field that is new and that
//! these tests cannot fill fails them, with its name.

mod doors;
mod fields;
mod owner;
mod parameters;

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use e2e::{Agent, Answer, Cluster};
use reqwest::Method;
use serde_json::Value;

use self::owner::{Owner, Stranger};

/// An operation as it is described.
struct Operation {
    id: String,
    method: Method,
    /// With "{…}" for what is to be filled in.
    path: String,
    description: Value,
}

impl Operation {
    /// The names in the path, in their order.
    fn placeholders(&self) -> Vec<String> {
        let parts = self.path.split('/').filter_map(|it| it.strip_prefix('{')?.strip_suffix('}'));
        parts.map(str::to_owned).collect()
    }

    /// The path with each name replaced.
    fn filled(&self, fill: impl Fn(&str) -> String) -> String {
        let parts = self.path.split('/').map(|part| {
            match part.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
                Some(name) => fill(name),
                None => part.to_owned(),
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    /// It is for everybody: what it names is known only to whom it was given.
    fn is_public(&self) -> bool {
        let security = self.description["security"].as_array();
        security.is_some_and(|it| it.iter().all(|it| it == &serde_json::json!({})))
    }
}

async fn description(agent: &Agent) -> anyhow::Result<Value> {
    agent.api.call(Method::GET, "/openapi.json", None, &[], None).await?.success()
}

fn operations(openapi: &Value) -> anyhow::Result<Vec<Operation>> {
    let mut operations = Vec::new();
    for (path, item) in openapi["paths"].as_object().context("paths")? {
        for (method, description) in item.as_object().context("operations")? {
            let id = description["operationId"].as_str().context("operationId")?.to_owned();
            let method = method.to_uppercase().parse::<Method>()?;
            let (path, description) = (path.clone(), description.clone());
            operations.push(Operation { id, method, path, description });
        }
    }
    Ok(operations)
}

/// The error without what differs between any two.
fn shape(answer: &Answer) -> anyhow::Result<(u16, Value)> {
    Ok((answer.status, answer.json()?["error"].clone()))
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == 404 && answer.json().is_ok_and(|it| it["error"] == "not_found")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_id_is_unknown_in_every_path() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let owner = Owner::new(&cluster).await?;
    let stranger = Stranger::new(&cluster).await?;
    let before = owner.everything().await?;
    let mut walked = BTreeSet::new();
    for operation in operations(&description(&owner.agent).await?)? {
        let names = operation.placeholders();
        if names.iter().all(|it| owner::is_plain(it)) || operation.is_public() {
            continue;
        }
        let body = parameters::body(&operation)?;
        for path in owner::foreign_paths(&operation, &owner, &stranger)? {
            let call = |token, path: String| {
                let (method, body, api) =
                    (operation.method.clone(), body.clone(), &owner.agent.api);
                async move { api.call(method, &path, token, &[], body.as_ref()).await }
            };
            let what = format!("{} {path}", operation.id);
            let token = Some(stranger.agent.token.as_str());
            let answer = call(token, path.clone()).await?;
            ensure!(is_refused(&answer), "{what}: {answer:?}");
            // Not even that it exists can be told from the answer.
            let unknown = call(token, owner.unknown(&path)).await?;
            ensure!(shape(&answer)? == shape(&unknown)?, "{what}: {answer:?}, {unknown:?}");
            let nobody = call(None, path).await?;
            ensure!(nobody.status == 401, "{what}: {nobody:?}");
        }
        walked.insert(operation.id.clone());
    }
    ensure!(walked.len() >= 40, "{walked:?}");
    owner.changed_nothing(&before).await?;
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_id_is_unknown_in_every_query_and_body() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let owner = Owner::new(&cluster).await?;
    let stranger = Stranger::new(&cluster).await?;
    let before = owner.everything().await?;
    let openapi = description(&owner.agent).await?;
    let operations = operations(&openapi)?;
    parameters::queries(&operations, &owner, &stranger).await?;
    fields::bodies(&openapi, &operations, &owner, &stranger).await?;
    parameters::natural_keys(&owner, &stranger).await?;
    parameters::lists(&operations, &owner, &stranger).await?;
    owner.changed_nothing(&before).await?;
    cluster.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_id_is_unknown_at_every_other_door() -> anyhow::Result<()> {
    let cluster = Cluster::start().await?;
    let owner = Owner::new(&cluster).await?;
    let stranger = Stranger::new(&cluster).await?;
    let before = owner.everything().await?;
    doors::web_socket(&owner, &stranger).await?;
    doors::submission(&cluster, &owner, &stranger).await?;
    doors::nats(&cluster, &owner, &stranger).await?;
    doors::tools(&owner, &stranger).await?;
    doors::own_events_only(&owner, &stranger).await?;
    owner.changed_nothing(&before).await?;
    cluster.stop().await
}
