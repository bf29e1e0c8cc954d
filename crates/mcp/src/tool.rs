//! What a tool is: what it says of itself, what it takes, and what it does.

use std::{pin::Pin, sync::Arc};

use rmcp::model::{CallToolResult, ContentBlock, JsonObject, Tool as Definition, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{api::Api, refusal::Refusal, schema, untrusted::Untrusted};

/// A tool, as its arguments.
pub(crate) trait Tool: DeserializeOwned + JsonSchema + Send + 'static {
    const ABOUT: About;
    type Output: Serialize + JsonSchema + Send + 'static;

    fn run<A: Api>(
        self,
        api: &A,
    ) -> impl Future<Output = Result<Reply<Self::Output>, Refusal>> + Send;
}

pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) hints: Hints,
}

/// The protocol's hints for clients that ask before they act.
#[derive(Clone, Copy)]
pub(crate) struct Hints {
    pub(crate) read_only: bool,
    /// It cannot be undone.
    pub(crate) destructive: bool,
    pub(crate) idempotent: bool,
    /// Mail goes out, or words of strangers come in.
    pub(crate) open_world: bool,
}

/// Shows what strangers wrote.
pub(crate) const READS_MAIL: Hints =
    Hints { read_only: true, destructive: false, idempotent: true, open_world: true };
pub(crate) const READS_OWN: Hints = Hints { open_world: false, ..READS_MAIL };
/// The same again changes nothing more.
pub(crate) const SETS: Hints =
    Hints { read_only: false, destructive: false, idempotent: true, open_world: false };
pub(crate) const MAKES: Hints = Hints { idempotent: false, ..SETS };
/// Takes mail and shows it.
pub(crate) const TAKES: Hints = Hints { open_world: true, ..MAKES };
pub(crate) const ENDS: Hints = Hints { destructive: true, ..SETS };
/// A mail that has gone does not come back.
pub(crate) const SENDS: Hints = Hints { destructive: true, open_world: true, ..SETS };

/// What a tool answers: facts of ours, and words of strangers.
#[derive(Debug)]
pub(crate) struct Reply<T> {
    pub(crate) facts: T,
    pub(crate) words: Untrusted,
}

impl<T> From<T> for Reply<T> {
    fn from(facts: T) -> Reply<T> {
        Reply { facts, words: Untrusted::default() }
    }
}

impl<T: Serialize> Reply<T> {
    /// Structured for programs; for models that see text only, the facts as JSON and the words below.
    fn into_result(self) -> Result<CallToolResult, Refusal> {
        let mut structured =
            serde_json::to_value(&self.facts).map_err(|err| Refusal::not_understood(&err))?;
        let mut content = vec![ContentBlock::text(structured.to_string())];
        if let Some(words) = self.words.fenced()? {
            content.push(ContentBlock::text(&*words));
            structured["untrusted"] = Value::String(words);
        }
        let mut result = CallToolResult::structured(structured);
        result.content = content;
        Ok(result)
    }
}

type Running = Pin<Box<dyn Future<Output = CallToolResult> + Send>>;

/// A tool by its name.
pub(crate) struct Entry<A> {
    pub(crate) definition: Definition,
    pub(crate) run: fn(A, JsonObject) -> Running,
}

impl<A: Api> Entry<A> {
    pub(crate) fn of<T: Tool>() -> Entry<A> {
        let About { name, title, description, hints } = T::ABOUT;
        let annotations = ToolAnnotations::from_raw(
            Some(title.to_owned()),
            Some(hints.read_only),
            Some(hints.destructive),
            Some(hints.idempotent),
            Some(hints.open_world),
        );
        let definition = Definition::new(name, description, schema::input::<T>())
            .with_title(title)
            .with_raw_output_schema(Arc::new(schema::output::<T::Output>()))
            .with_annotations(annotations);
        Entry { definition, run: |api, given| Box::pin(run::<A, T>(api, given)) }
    }
}

/// Whatever goes wrong is told to the model: an error of the protocol would not reach it.
async fn run<A: Api, T: Tool>(api: A, given: JsonObject) -> CallToolResult {
    let outcome = async { arguments::<T>(given)?.run(&api).await?.into_result() };
    outcome.await.unwrap_or_else(Refusal::into_result)
}

/// Models say null where they mean nothing.
fn arguments<T: Tool>(given: JsonObject) -> Result<T, Refusal> {
    let given: JsonObject = given.into_iter().filter(|(_, it)| !it.is_null()).collect();
    serde_path_to_error::deserialize(Value::Object(given)).map_err(|err| {
        let name = err.path().to_string();
        Refusal::argument(&name, err.into_inner())
    })
}
