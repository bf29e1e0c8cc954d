//! An HTML body as lines, links and what it hides.
//!
//! The tokenizer is html5gum; no tree is built, and a bounded stack says what surrounds a text, so
//! time is linear and depth cannot hurt. What hides is judged as the scanner judges it.

mod containers;
mod walk;

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};
use mail::Hiding;

use crate::line::Line;

/// Pieces of hidden text, links and images beyond these are not listed.
pub(crate) const MAX_LISTED: usize = 500;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    /// What a person reads.
    pub(crate) lines: Vec<Line>,
    pub(crate) anchors: Vec<Anchor>,
    pub(crate) hidden: Vec<Hidden>,
    /// Where the images are that are not in the mail itself.
    pub(crate) images: Vec<String>,
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Anchor {
    pub(crate) href: String,
    pub(crate) text: String,
    /// The line it begins on.
    pub(crate) line: usize,
}

/// A piece of text that a person does not see.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hidden {
    pub(crate) way: Hiding,
    pub(crate) text: String,
}

/// Reads a page. With `name`, a link's text is followed by what `name` makes of its target, and an
/// image stands as what it makes of that.
pub(crate) fn read(html: &str, name: Option<fn(&str) -> String>) -> Page {
    let mut walk = walk::Walk::new(html, name);
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        // A token ends the iteration below.
        (!walk.take(event)).then_some(())
    });
    // Script, style and the like hold no markup (WHATWG HTML section 13.2.5).
    emitter.naively_switch_states(true);
    let mut tokenizer = Tokenizer::new_with_emitter(html, emitter);
    tokenizer.next();
    drop(tokenizer);
    walk.page()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Mark;

    fn texts(html: &str) -> Vec<String> {
        read(html, None).lines.into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn blocks_break_lines() {
        assert_eq!(
            texts("<p>One <b>two</b>\n three</p><div>four<br>five</div>"),
            ["One two three", "", "four", "five"]
        );
        assert_eq!(texts("<tr><td>7<td>4</tr><tr><td>x"), ["7 4", "x"]);
        assert_eq!(texts("<pre>a\n  b</pre>"), ["a", "  b"]);
        assert_eq!(texts("a<br><br>b"), ["a", "", "b"]);
    }

    #[test]
    fn containers_mark_their_lines() {
        let page = read("a<div class='x gmail_quote'>b</div>c<blockquote>d</blockquote>", None);
        let lines: Vec<_> =
            page.lines.iter().map(|it| (it.text.as_str(), it.mark, it.depth)).collect();
        assert_eq!(
            lines,
            [
                ("a", Mark::None, 0),
                ("b", Mark::Quoted, 0),
                ("c", Mark::None, 0),
                ("", Mark::None, 0),
                ("d", Mark::None, 1)
            ]
        );
    }

    #[test]
    fn hidden_text_is_kept_apart_piece_by_piece() {
        let page = read(
            "a<div style='display:none'>b<i>c</i></div><p hidden>d</p><style>e</style>f",
            None,
        );
        let hidden: Vec<_> = page.hidden.iter().map(|it| (it.way, it.text.as_str())).collect();
        assert_eq!(hidden, [(Hiding::Display, "bc"), (Hiding::Display, "d")]);
        assert_eq!(page.lines.iter().map(|it| &*it.text).collect::<String>(), "af");
    }

    #[test]
    fn links_and_images_are_named() {
        let page = read(
            "<a href=//x.test>y.test</a> <img src=http://t.test/1.gif><img src=cid:1>",
            Some(|target| format!("[{target}]")),
        );
        assert_eq!(page.lines[0].text, "y.test [//x.test] [http://t.test/1.gif]");
        assert_eq!(page.anchors[0].text, "y.test");
        assert_eq!(page.images, ["http://t.test/1.gif"]);
    }

    #[test]
    fn depth_and_stray_tags_do_not_hurt() {
        read(&"<div><blockquote>".repeat(20_000), None);
        read(&"</p></td>x".repeat(20_000), None);
        read(&"<a href=x>".repeat(20_000), None);
    }
}
