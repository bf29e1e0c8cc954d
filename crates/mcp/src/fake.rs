//! An API of fixed answers, for the tests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::{
    api::{Answer, Api, Call, Unreachable},
    refusal::Refusal,
    tool::{Reply, Tool},
};

/// A status and a body.
type Given = (u16, Vec<u8>);

/// Answers by method and path, the query included; 404 to all else.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    answers: Arc<Mutex<HashMap<String, Given>>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Fake {
    pub(crate) fn answer(&self, to: &str, status: u16, body: &Value) {
        self.answer_octets(to, status, body.to_string().as_bytes());
    }

    pub(crate) fn answer_octets(&self, to: &str, status: u16, octets: &[u8]) {
        let mut answers = self.answers.lock().expect("lock");
        answers.insert(to.to_owned(), (status, octets.to_vec()));
    }

    /// Calls a tool as a client does.
    pub(crate) async fn run<T: Tool>(&self, given: Value) -> Result<Reply<T::Output>, Refusal> {
        let tool: T = serde_json::from_value(given).expect("arguments");
        tool.run(self).await
    }

    /// What was asked for, in its order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let calls = self.calls.lock().expect("lock");
        calls.iter().map(|it| format!("{} {}", it.method, it.path)).collect()
    }

    /// The keys of what was asked for with one, in its order.
    pub(crate) fn keys(&self) -> Vec<String> {
        let calls = self.calls.lock().expect("lock");
        calls.iter().filter_map(|it| it.idempotency_key.clone()).collect()
    }

    /// The last that was asked for.
    pub(crate) fn last(&self) -> Call {
        self.calls.lock().expect("lock").last().expect("a call").clone()
    }
}

impl Api for Fake {
    async fn call(&self, call: Call) -> Result<Answer, Unreachable> {
        let name = format!("{} {}", call.method, call.path);
        let most = call.most;
        self.calls.lock().expect("lock").push(call);
        let found = self.answers.lock().expect("lock").get(&name).cloned();
        let missing = || (404, json!({ "error": "not_found" }).to_string().into_bytes());
        let (status, mut octets) = found.unwrap_or_else(missing);
        let is_cut = octets.len() > most;
        octets.truncate(most);
        Ok(Answer { status, octets, is_cut, retry_after: None })
    }
}
