#[derive(Clone)]
pub(crate) struct Metrics {}
