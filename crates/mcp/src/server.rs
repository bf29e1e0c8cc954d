//! The tools as a server of the protocol. It keeps nothing between two requests.

use std::sync::Arc;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
        ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};

use crate::{api::Api, instructions::INSTRUCTIONS, tool::Entry, tools};

/// All tools, made once for a process.
pub struct Tools<A> {
    entries: Vec<Entry<A>>,
}

impl<A: Api> Default for Tools<A> {
    fn default() -> Tools<A> {
        Tools { entries: tools::entries() }
    }
}

impl<A> Tools<A> {
    fn entry(&self, name: &str) -> Option<&Entry<A>> {
        self.entries.iter().find(|it| it.definition.name == name)
    }
}

/// The server for one caller.
pub struct Server<A> {
    tools: Arc<Tools<A>>,
    api: A,
}

impl<A: Api> Server<A> {
    pub fn new(tools: Arc<Tools<A>>, api: A) -> Server<A> {
        Server { tools, api }
    }
}

impl<A: Api> ServerHandler for Server<A> {
    fn get_info(&self) -> ServerConfig {
        let name = Implementation::new("posthouse", env!("CARGO_PKG_VERSION"))
            .with_title("Posthouse")
            .with_description("Email for agents");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(name)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.tools.entries.iter().map(|it| it.definition.clone());
        Ok(ListToolsResult::with_all_items(tools.collect()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.entry(name).map(|it| it.definition.clone())
    }

    /// A client that has gone does not hold what it waited for.
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let CallToolRequestParams { name, arguments, .. } = request;
        let Some(entry) = self.tools.entry(&name) else {
            let message = "there is no tool of this name: tools/list has all of them";
            return Err(ErrorData::invalid_params(message, None));
        };
        let running = (entry.run)(self.api.clone(), arguments.unwrap_or_default());
        let result = tokio::select! {
            result = running => result,
            () = context.ct.cancelled() => CallToolResult::error(vec![ContentBlock::text("cancelled")]),
        };
        Ok(result.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rmcp::model::{JsonObject, ToolAnnotations};
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::Fake;

    const PAGE: &str = include_str!("../../../docs/mcp.md");

    fn definitions() -> Vec<Tool> {
        Tools::<Fake>::default().entries.into_iter().map(|it| it.definition).collect()
    }

    fn marks(hints: &ToolAnnotations) -> String {
        let marks = [
            ("reads", hints.read_only_hint),
            ("cannot be undone", hints.destructive_hint),
            ("repeatable", hints.idempotent_hint),
            ("open", hints.open_world_hint),
        ];
        let marks = marks.into_iter().filter(|(_, is)| is.expect("a hint is said"));
        marks.map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_page_has_all_tools_and_their_hints() {
        let rows: Vec<String> = definitions()
            .iter()
            .map(|it| {
                let hints = marks(it.annotations.as_ref().expect("hints"));
                format!("| `{}` | {hints} | ", it.name)
            })
            .collect();
        let lines: Vec<&str> =
            PAGE.lines().filter(|it| it.starts_with("| `") && !it.starts_with("| `--")).collect();
        assert_eq!(lines.len(), rows.len(), "{lines:?}");
        for (line, row) in lines.iter().zip(&rows) {
            assert!(line.starts_with(row), "{line:?} is not {row:?}");
        }
    }

    /// Some clients resolve no references, and some cut long texts.
    #[test]
    fn a_definition_is_plain_and_short() {
        let mut names = BTreeSet::new();
        for tool in definitions() {
            let is_plain = |it: char| it.is_ascii_lowercase() || it == '_';
            assert!(tool.name.len() <= 40 && tool.name.chars().all(is_plain), "{}", tool.name);
            assert!(tool.description.as_ref().is_some_and(|it| it.len() <= 400), "{}", tool.name);
            let input = &*tool.input_schema;
            assert_eq!(
                (&input["type"], &input["additionalProperties"]),
                (&json!("object"), &json!(false))
            );
            let output = tool.output_schema.expect("an output schema");
            assert_eq!(output["type"], "object");
            for schema in [input, &*output] {
                let schema = serde_json::to_string(schema).expect("JSON");
                for word in ["$ref", "$defs", "\"null\"", "uint", "int64"] {
                    assert!(!schema.contains(word), "{}: {word} in {schema}", tool.name);
                }
            }
            assert!(names.insert(tool.name), "a name is there twice");
        }
        assert!(INSTRUCTIONS.len() < 4_000);
    }

    #[test]
    fn instructions_name_only_tools_and_fields_there_are() {
        let definitions = serde_json::to_string(&definitions()).expect("JSON");
        let words = INSTRUCTIONS.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
        let names: Vec<&str> = words.filter(|it| it.contains('_') && *it != "lease_lost").collect();
        assert!(names.len() > 8, "{names:?}");
        for name in names {
            assert!(definitions.contains(&format!("\"name\":\"{name}\"")), "{name}");
        }
    }

    async fn call(name: &str, given: Value) -> CallToolResult {
        let tools = Tools::<Fake>::default();
        let given: JsonObject = serde_json::from_value(given).expect("arguments");
        (tools.entry(name).expect("a tool").run)(Fake::default(), given).await
    }

    #[tokio::test]
    async fn wrong_arguments_are_told_to_the_model() {
        for (given, named) in [
            (json!({ "inboxId": "ibx_1", "limt": 3 }), "limt"),
            (json!({ "inboxId": 7 }), "inboxId"),
            (json!({ "inboxId": "../account" }), "take it unchanged"),
            (json!({}), "inboxId"),
        ] {
            let result = call("list_emails", given).await;
            assert_eq!(result.is_error, Some(true));
            let said = serde_json::to_string(&result.content).expect("JSON");
            assert!(said.contains("Error invalid_argument. Nothing was done."), "{said}");
            assert!(said.contains(named), "{said}");
        }
    }

    #[tokio::test]
    async fn null_is_as_nothing() {
        let result = call("list_emails", json!({ "inboxId": "ibx_1", "cursor": null })).await;
        let said = serde_json::to_string(&result.content).expect("JSON");
        assert!(said.contains("Error not_found (404)"), "it was asked for: {said}");
    }
}
