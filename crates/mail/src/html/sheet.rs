//! The style sheets of a page, as far as they say what is shown.

use std::rc::Rc;

use cssparser::{
    AtRuleParser, CowRcStr, DeclarationParser, Delimiter, ParseError, Parser, ParserState,
    QualifiedRuleParser, RuleBodyItemParser, RuleBodyParser, StyleSheetParser, ToCss as _, Token,
    parse_important,
};
use selectors::parser::SelectorParseErrorKind;

use super::{
    selector::{self, Named},
    style::Looks,
    walk::Open,
};

/// Rules that are kept: those that could hide something.
const MAX_RULES: usize = 1000;
/// How often a rule is held against an element, in a whole page. What comes then is shown, as it is
/// where there is no style sheet at all.
const MAX_TRIES: usize = 300_000;
/// Rules within rules.
const MAX_NESTING: usize = 8;
/// The width in pixels of the window that the page is imagined in.
const WINDOW: f32 = 800.0;

type Error = SelectorParseErrorKind;

#[derive(Debug, Default)]
pub(crate) struct Sheet {
    rules: Vec<Rule>,
    tries: usize,
}

#[derive(Debug)]
struct Rule {
    selector: Named,
    declarations: Rc<[Declaration]>,
}

/// A declaration that counts here, in lower case and with one blank between words.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Declaration {
    pub(crate) property: String,
    pub(crate) value: String,
    pub(crate) important: bool,
}

impl Sheet {
    pub(crate) fn read(&mut self, css: &str) {
        let mut parser = Parser::new(css);
        let mut reader = Reader { rules: &mut self.rules, nesting: 0 };
        // What is broken is skipped (CSS Syntax 3, section 2.2).
        StyleSheetParser::new(&mut parser, &mut reader).flatten().for_each(drop);
        // Later and more particular rules come last and win (CSS Cascade 4, section 6.1).
        self.rules.sort_by_key(|it| it.selector.specificity());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the rules and its own style say of the last of the open elements.
    pub(crate) fn apply(&mut self, open: &[Open], own: &[Declaration], looks: &mut Looks) {
        let tries = self.rules.len().min(MAX_TRIES - self.tries);
        self.tries += tries;
        let rules = self.rules[..tries].iter().map(|it| (&it.selector, &*it.declarations));
        let ruled: Vec<&[Declaration]> = selector::naming_last(open, rules);
        for important in [false, true] {
            for declaration in ruled.iter().copied().flatten().chain(own) {
                if declaration.important == important {
                    looks.declare(declaration);
                }
            }
        }
    }
}

/// The declarations of a `style` attribute.
pub(crate) fn declarations(style: &str) -> Vec<Declaration> {
    block(&mut Parser::new(style))
}

/// Whether a style sheet for such media counts on a screen (Media Queries 4).
pub(crate) fn is_for_screen(media: &str) -> bool {
    media.trim().is_empty() || for_screen(&mut Parser::new(media))
}

fn block(input: &mut Parser<'_>) -> Vec<Declaration> {
    let mut reader = Declarations;
    RuleBodyParser::new(input, &mut reader).flatten().flatten().collect()
}

struct Reader<'a> {
    rules: &'a mut Vec<Rule>,
    nesting: usize,
}

impl<'i> QualifiedRuleParser<'i> for Reader<'_> {
    type Prelude = Vec<Named>;
    type QualifiedRule = ();
    type Error = Error;

    fn parse_prelude(&mut self, input: &mut Parser<'i>) -> Result<Vec<Named>, ParseError<Error>> {
        selector::parse(input)
    }

    fn parse_block(
        &mut self,
        selectors: Vec<Named>,
        _: &ParserState,
        input: &mut Parser<'i>,
    ) -> Result<(), ParseError<Error>> {
        let declarations: Rc<[Declaration]> = block(input).into();
        if !declarations.is_empty() {
            let room = MAX_RULES - self.rules.len();
            self.rules.extend(
                selectors
                    .into_iter()
                    .take(room)
                    .map(|selector| Rule { selector, declarations: declarations.clone() }),
            );
        }
        Ok(())
    }
}

impl<'i> AtRuleParser<'i> for Reader<'_> {
    /// Whether its rules count.
    type Prelude = bool;
    type AtRule = ();
    type Error = Error;

    fn parse_prelude(
        &mut self,
        name: CowRcStr<'i>,
        input: &mut Parser<'i>,
    ) -> Result<bool, ParseError<Error>> {
        let counts = match name.to_ascii_lowercase().as_str() {
            "media" => for_screen(input),
            // What asks whether the program knows a property is told that it does.
            "supports" | "layer" => true,
            _ => false,
        };
        while input.next().is_ok() {}
        Ok(counts)
    }

    fn parse_block(
        &mut self,
        counts: bool,
        _: &ParserState,
        input: &mut Parser<'i>,
    ) -> Result<(), ParseError<Error>> {
        if counts && self.nesting < MAX_NESTING {
            self.nesting += 1;
            StyleSheetParser::new(input, self).flatten().for_each(drop);
            self.nesting -= 1;
        }
        Ok(())
    }
}

/// Any of several queries, separated by commas.
fn for_screen(input: &mut Parser<'_>) -> bool {
    let queries = input.parse_comma_separated(|input| Ok::<bool, ParseError<()>>(query(input)));
    queries.is_ok_and(|it| it.into_iter().any(|it| it))
}

/// Media types and features that must all be as they are on a screen.
fn query(input: &mut Parser<'_>) -> bool {
    let (mut holds, mut negated) = (true, false);
    while let Ok(token) = input.next() {
        match token {
            Token::Ident(word) if word.eq_ignore_ascii_case("not") => negated = true,
            Token::Ident(word) => {
                let word = word.to_ascii_lowercase();
                holds &= matches!(word.as_str(), "screen" | "all" | "only" | "and" | "or");
            }
            Token::ParenthesisBlock => {
                let feature =
                    input.parse_nested_block(|it| Ok::<bool, ParseError<()>>(feature(it)));
                holds &= feature.unwrap_or(false);
            }
            _ => holds = false,
        }
    }
    holds != negated
}

/// One that asks for a window of some width, or at least or at most of that; others, such as dark
/// colours, are taken not to be wanted.
fn feature(input: &mut Parser<'_>) -> bool {
    let Ok(name) = input.expect_ident().map(|it| it.to_ascii_lowercase()) else { return false };
    let value = match input.expect_colon().and_then(|()| input.next()) {
        Ok(Token::Dimension { value, unit, .. }) if !unit.eq_ignore_ascii_case("px") => {
            value * 16.0
        }
        Ok(Token::Dimension { value, .. } | Token::Number { value, .. }) => *value,
        _ => return false,
    };
    while input.next().is_ok() {}
    match name.strip_prefix("min-") {
        Some(_) => value <= WINDOW,
        None => name.starts_with("max-") && value >= WINDOW,
    }
}

struct Declarations;

impl<'i> DeclarationParser<'i> for Declarations {
    type Declaration = Option<Declaration>;
    type Error = Error;

    fn parse_value(
        &mut self,
        name: CowRcStr<'i>,
        input: &mut Parser<'i>,
        _: &ParserState,
    ) -> Result<Option<Declaration>, ParseError<Error>> {
        let property = name.to_ascii_lowercase();
        let mut value = String::new();
        input.parse_until_before(Delimiter::Bang, |input| {
            words(input, &mut value, 0);
            Ok::<(), ParseError<Error>>(())
        })?;
        let important = parse_important(input).is_ok();
        let value = value.trim().to_ascii_lowercase();
        let counts = Looks::reads(&property);
        Ok(counts.then_some(Declaration { property, value, important }))
    }
}

impl<'i> QualifiedRuleParser<'i> for Declarations {
    type Prelude = ();
    type QualifiedRule = Option<Declaration>;
    type Error = Error;
}

impl<'i> AtRuleParser<'i> for Declarations {
    type Prelude = ();
    type AtRule = Option<Declaration>;
    type Error = Error;
}

impl<'i> RuleBodyItemParser<'i, Option<Declaration>, Error> for Declarations {
    fn parse_declarations(&self) -> bool {
        true
    }

    fn parse_qualified(&self) -> bool {
        false
    }
}

/// Tokens as they are written without escapes and comments.
fn words(input: &mut Parser<'_>, value: &mut String, nesting: usize) {
    while let Ok(token) = input.next() {
        let token = token.clone();
        if !matches!(token, Token::Comma) && !value.is_empty() && !value.ends_with('(') {
            value.push(' ');
        }
        // Writing to a string cannot fail.
        _ = token.to_css(value);
        let opens = matches!(
            token,
            Token::Function(_) | Token::ParenthesisBlock | Token::SquareBracketBlock
        );
        if opens && nesting < MAX_NESTING {
            _ = input.parse_nested_block(|input| {
                words(input, value, nesting + 1);
                Ok::<(), ParseError<Error>>(())
            });
            value.push(')');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_as_css_and_not_as_text() {
        let read = |style: &str| -> Vec<(String, String, bool)> {
            let declarations = declarations(style).into_iter();
            declarations.map(|it| (it.property, it.value, it.important)).collect()
        };
        let one = |property: &str, value: &str, important| {
            vec![(property.to_owned(), value.to_owned(), important)]
        };
        assert_eq!(read("d\\69 splay:/* */N\\6f ne"), one("display", "none", false));
        assert_eq!(read("display:none ! important"), one("display", "none", true));
        assert_eq!(read("clip: rect( 0 0 0 0 )"), one("clip", "rect(0 0 0 0)", false));
        assert_eq!(read("margin:0;line-height:1"), []);
        assert_eq!(read(";;color:red;broken;x:y"), one("color", "red", false));
        assert_eq!(read("color:rgb(1,2,3)"), one("color", "rgb(1, 2, 3)", false));
    }

    #[test]
    fn media_that_count_on_a_screen() {
        for media in [
            "",
            "screen",
            "all",
            "only screen and (min-width: 480px)",
            "print, screen",
            "not print",
            "(min-width:1px)",
            "(max-width:60em)",
        ] {
            assert!(is_for_screen(media), "{media}");
        }
        for media in [
            "print",
            "only screen and (max-width: 600px)",
            "(prefers-color-scheme: dark)",
            "not screen",
            "(min-width:",
        ] {
            assert!(!is_for_screen(media), "{media}");
        }
    }

    #[test]
    fn hostile_sheets_come_to_an_end() {
        for piece in [
            "a{",
            "@media all{",
            ".z{display:none}",
            "[",
            "(",
            ":not(",
            "a,",
            "a>",
            "/*",
            "\\",
            "x:(",
        ] {
            let mut sheet = Sheet::default();
            sheet.read(&piece.repeat(600_000 / piece.len()));
            assert!(sheet.rules.len() <= MAX_RULES);
            declarations(&piece.repeat(100_000 / piece.len()));
        }
    }
}
