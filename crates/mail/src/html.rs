//! What a person sees of an HTML body, and what only a machine reads.
//!
//! The tokenizer is html5gum, which follows the WHATWG specification; no tree is built. A bounded
//! stack of open elements says what is hidden, so time is linear and depth cannot hurt.

mod flow;
mod selector;
mod sheet;
mod sights;
mod style;
mod walk;

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};

use sheet::{Sheet, is_for_screen};
use walk::Walk;

pub use self::{
    sights::Sights,
    style::Hiding,
    walk::{is_void, lines as block_lines},
};

/// Octets of style sheets that are read.
const MAX_SHEET: usize = 512 * 1024;

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
    let mut walk = Walk::new(limit, sheet(html));
    each(html, |event| walk.take(event));
    walk.page()
}

/// The style sheets of a page; those after an element count for it too.
fn sheet(html: &str) -> Sheet {
    let mut sheet = Sheet::default();
    if !mentions_style(html) {
        return sheet;
    }
    let mut css = String::new();
    let (mut is_style, mut is_media, mut counts) = (false, false, false);
    each(html, |event| {
        match event {
            CallbackEvent::OpenStartTag { name } => (is_style, counts) = (name == b"style", true),
            CallbackEvent::AttributeName { name } => is_media = name == b"media",
            CallbackEvent::AttributeValue { value } if is_style && is_media => {
                counts = is_for_screen(&String::from_utf8_lossy(value));
            }
            CallbackEvent::String { value } if is_style && counts => {
                css.push_str(&String::from_utf8_lossy(value));
                css.push('\n');
            }
            CallbackEvent::EndTag { .. } => is_style = false,
            _ => (),
        }
        css.len() < MAX_SHEET
    });
    sheet.read(&css);
    sheet
}

fn mentions_style(html: &str) -> bool {
    memchr::memchr_iter(b'<', html.as_bytes()).any(|at| {
        html.as_bytes().get(at + 1..at + 6).is_some_and(|it| it.eq_ignore_ascii_case(b"style"))
    })
}

/// Hands out what the tokenizer finds, until `take` says that it is enough.
fn each(html: &str, mut take: impl FnMut(CallbackEvent<'_>) -> bool) {
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        // A token ends the iteration below.
        (!take(event)).then_some(())
    });
    // Script, style and the like hold no markup (WHATWG HTML section 13.2.5).
    emitter.naively_switch_states(true);
    Tokenizer::new_with_emitter(html, emitter).next();
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
            "color:rgba(0, 0, 0, 0)",
            "color:#fff;background-color:white",
            "color:white",
            "color:#fdfdfd",
            "d\\69splay:n\\6f ne",
            "clip-path:inset(50%)",
            "display:none!important;display:block",
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
            "color:#fff;background:url(x.png)",
            "color:#f0f0f0",
            "font:16px/0 serif",
            "display:none;display:block",
            "text-indent:-1em",
            "position:absolute;left:0",
        ] {
            check(&format!("a<span style=\"{style}\">b</span>"), "ab", "");
        }
    }

    #[test]
    fn style_sheets_hide() {
        for (sheet, element) in [
            (".z{display:none}", "<p class='a Z'>"),
            ("#z{display:none}", "<p id=z>"),
            ("p[data-x='1']{display:none}", "<p data-x=1>"),
            ("p[class^=pre]{display:none}", "<p class=preheader>"),
            ("table .z, a:hover{display:none}", "<table><td class=z>"),
            ("div>.z{display:none}", "<div><p class=z>"),
            (":not(.y){display:none}", "<p class=z>"),
            (".z{display:none!important}", "<p class=z style='display:block'>"),
            (".z{DISPLAY:/**/N\\6fne}", "<p class=z>"),
            ("@media screen{.z{opacity:0}}", "<p class=z>"),
            ("@supports (display:grid){.z{font-size:0}}", "<p class=z>"),
            (".y{background:#eee} .z{color:#eee}", "<div class=y><p class=z>"),
            ("<!-- .z{display:none} -->", "<p class=z>"),
        ] {
            check(&format!("<style>{sheet}</style>{element}b"), "", "b");
            check(&format!("{element}b</p></div></table><STYLE>{sheet}</STYLE>"), "", "b");
        }
        check("<style media=print>.z{display:none}</style><p class=z>b", "b", "");
    }

    #[test]
    fn style_sheets_show() {
        for (sheet, element) in [
            (".z{display:none}", "<p class=y>"),
            (".z{display:none} .z{display:block}", "<p class=z>"),
            ("p.z{display:block} .z{display:none}", "<p class=z>"),
            (".z{display:none}", "<p class=z style='display:block'>"),
            ("@media (max-width:600px){.z{display:none}}", "<p class=z>"),
            ("@media print{.z{display:none}}", "<p class=z>"),
            ("p:first-child,.z:hover,.z::before{display:none}", "<p class=z>"),
            (".y{background:#222} .z{color:#fff}", "<div class=y><p class=z>"),
            ("*{color:#fff} body{background-image:url(dark.png)}", "<body><p class=z>"),
            (".z{display:none", "<p class=y>"),
        ] {
            check(&format!("<style>{sheet}</style>{element}b"), "b", "");
        }
    }

    /// As MJML writes it.
    #[test]
    fn what_is_shown_again_within_is_read() {
        check("<td style='font-size:0px'><div style='font-size:13px'>a</div>b</td>", "a", "b");
        check("<p style=visibility:hidden>a<b style=visibility:visible>b</b></p>", "b", "a");
        check("<p style=color:#fff>a<b style=background:#000>b</b></p>", "b", "a");
        check("<p style=display:none>a<b style=display:block>b</b></p>", "", "ab");
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
            "<p class=z id=y>",
            "<style>.z{display:none}</style>",
            "<style>",
        ] {
            let html = format!("<p {}", piece.repeat(150_000 / piece.len()));
            read(&html, usize::MAX);
            read(&html[3..], usize::MAX);
        }
        assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    }
}
