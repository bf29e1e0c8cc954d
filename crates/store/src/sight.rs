//! Lists that are narrowed to some inboxes or threads, as SQL: one parameter, whatever is in it.

use crate::{dialect::Dialect, sql};

/// The value of such a parameter. Identifiers have no commas.
pub(crate) fn parameter(ids: Option<&[String]>) -> String {
    match ids {
        // Not narrowed.
        None => String::new(),
        Some(ids) => sql::text(&format!(",{},", ids.join(","))),
    }
}

impl Dialect {
    /// A condition: the column has one of the identifiers in this parameter.
    pub(crate) fn listed(self, column: &str, parameter: usize) -> String {
        let position = self.position();
        format!("(${parameter} = '' OR {position}(${parameter}, ',' || {column} || ',') > 0)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_listed_is_not_everything() {
        assert_eq!(parameter(None), "");
        assert_eq!(parameter(Some(&[])), ",,");
        assert_eq!(parameter(Some(&["a".to_owned(), "b".to_owned()])), ",a,b,");
        assert_eq!(
            Dialect::Sqlite.listed("e.inbox_id", 3),
            "($3 = '' OR instr($3, ',' || e.inbox_id || ',') > 0)"
        );
    }
}
