//! What a person sees of an HTML body, and what only a machine reads.
//!
//! The tokenizer is html5gum, which follows the WHATWG specification; no tree is built. A bounded
//! stack of open elements says what is hidden, so time is linear and depth cannot hurt.

mod flow;
mod style;
mod walk;

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};

use walk::Walk;

pub use self::{
    style::{Color, Hiding, Looks},
    walk::{is_never_shown, is_void, lines as block_lines},
};

/// The channels of an HTML body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page {
    /// What a person reads: block elements break lines, links keep their text.
    pub(crate) visible: String,
    /// Text of elements that are not shown; style sheets and scripts are left out.
    pub(crate) hidden: String,
    /// `alt`, `title` and the like, one a line.
    pub(crate) attributes: String,
    /// One a line.
    pub(crate) comments: String,
    /// Where links and images point, one a line.
    pub(crate) links: String,
    /// Some channel reached the limit: there is more than is here.
    pub(crate) truncated: bool,
}

/// Reads an HTML body, until some channel has `limit` octets.
pub(crate) fn read(html: &str, limit: usize) -> Page {
    let mut walk = Walk::new(limit);
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

    #[track_caller]
    fn check(html: &str, visible: &str, hidden: &str) {
        let page = read(html, usize::MAX);
        assert_eq!(page.visible, visible);
        assert_eq!(page.hidden, hidden);
    }

    #[test]
    fn blocks_break_lines_and_inline_elements_do_not() {
        check(
            "<p>One <b>two</b>\n three</p><div>four<br>five</div>",
            "One two three\n\nfour\nfive",
            "",
        );
        check("<ul><li>a</li><li>b</li></ul>c", "a\nb\n\nc", "");
        check("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc", "");
        check("<pre>a\n  b</pre>", "a\n  b", "");
    }

    #[test]
    fn entities_are_decoded() {
        check(
            "&lt;b&gt; &amp;copy; &eacute;&#x41;&notit; &nbsp;&zwnj;",
            "<b> &copy; éA¬it; \u{a0}\u{200c}",
            "",
        );
    }

    #[test]
    fn a_link_keeps_its_text() {
        let page = read(
            r#"See <a href="https://x.test/?a=1&amp;b=2">this</a><img src=y.png alt="pic">"#,
            1000,
        );
        assert_eq!(page.visible, "See this");
        assert_eq!(page.links, "https://x.test/?a=1&b=2\ny.png");
        assert_eq!(page.attributes, "pic");
    }

    #[test]
    fn what_is_hidden_is_kept_apart() {
        for style in [
            "display:none",
            "DISPLAY : NONE !important",
            "display:/**/none",
            "visibility:hidden",
            "opacity:0",
            "opacity: 0.01",
            "font-size:0",
            "font-size:0.1px",
            "font:0px/1 serif",
            "max-height:0;overflow:hidden",
            "height:0px;overflow:hidden",
            "position:absolute;left:-5000px",
            "text-indent:-9999px",
            "clip:rect(0,0,0,0);position:absolute",
            "mso-hide:all",
            "color:transparent",
            "color:#fff;background-color:white",
        ] {
            check(&format!("a<span style=\"{style}\">b<i>c</i></span>d"), "ad", "bc");
        }
        check("a<div hidden>b</div>c", "a\nc", "b");
        check("a<template>b</template>c", "ac", "b");
        check("<table bgcolor=#F4F4F4><tr><td>a<font color=#f4f4f4>b</font></table>", "a", "b");
    }

    #[test]
    fn what_only_looks_hidden_is_read() {
        for style in [
            "display:block",
            "opacity:0.9",
            "font-size:10px",
            "max-height:0.5em",
            "max-height:none",
            "color:#fff;background-color:#000",
            "color:white",
            "text-indent:-1em",
            "position:absolute;left:0",
        ] {
            check(&format!("a<span style=\"{style}\">b</span>"), "ab", "");
        }
    }

    #[test]
    fn hiding_ends_where_the_element_does() {
        check("<p style=display:none>a<p>b", "b", "a");
        check("<tr><td style=display:none>a<td>b</tr>", "b", "a");
        check("<div style=display:none>a<p>b</div>c", "c", "a\n\nb");
        check("<img style=display:none>a<br>b", "a\nb", "");
        check("<head><title>t</title><p>a", "a", "t");
        check("a<span style=display:none>b</i>c</span>d", "ad", "bc");
        check("<div style='display:none'/>a", "", "a");
    }

    #[test]
    fn scripts_and_comments_are_not_read() {
        let page = read(
            "a<script>if (1<2) {}</script><style>b{}</style><!-- c --><title>d</title>e",
            1000,
        );
        assert_eq!(page.visible, "ae");
        assert_eq!(page.comments, "c");
        assert_eq!(page.hidden, "d");
    }

    #[test]
    fn stops_at_the_limit() {
        let page = read(&"<p>abcdefghi</p>".repeat(1000), 100);
        assert!(page.truncated);
        assert!(page.visible.len() < 200, "{}", page.visible.len());
    }

    /// Each of these is quadratic, or overflows the stack, in some parser.
    #[test]
    fn time_is_linear_in_hostile_input() {
        let begun = std::time::Instant::now();
        for piece in [
            "<div>",
            "<p>",
            "<a ",
            "a=b ",
            "</x>",
            "<b><p>",
            "<table>",
            "<!--",
            "&",
            "<td><p hidden>",
        ] {
            let html = format!("<p {}", piece.repeat(300_000 / piece.len()));
            read(&html, usize::MAX);
            read(&html[3..], usize::MAX);
        }
        assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    }
}
