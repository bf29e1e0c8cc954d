//! What agents read of a mail.
mod line;
mod page;
mod reply;
mod words;
pub fn reply_text(text: &str) -> String { reply::written(&line::lines(text)).text() }
pub fn reply_html(text: &str) -> String { reply::written(&page::read(text, None).lines).text() }
