//! Which elements a CSS selector names, among those that are open: the `selectors` crate parses and
//! matches; this is what it has to know of elements.
//!
//! Only ancestors are known, so selectors that ask for siblings, places or states are left out.

use std::{borrow::Borrow, fmt};

use cssparser::{ParseError, Parser as CssParser, ToCss, serialize_identifier};
use precomputed_hash::PrecomputedHash;
use selectors::{
    Element, OpaqueElement, SelectorList,
    attr::{AttrSelectorOperation, CaseSensitivity, NamespaceConstraint},
    bloom::BloomFilter,
    context::{
        MatchingContext, MatchingForInvalidation, MatchingMode, NeedsSelectorFlags, QuirksMode,
        SelectorCaches,
    },
    matching::{ElementSelectorFlags, matches_selector},
    parser::{
        Combinator, Component, NonTSPseudoClass, ParseRelative, Parser, PseudoElement, Selector,
        SelectorImpl, SelectorParseErrorKind,
    },
};

use super::walk::Open;

/// A selector that can be decided.
#[derive(Clone, Debug)]
pub(crate) struct Named(Selector<Css>);

/// The selectors before a rule's block that can be decided; an error if any is no selector, which
/// costs the whole rule (Selectors 4, section 4.1).
pub(crate) fn parse<'i>(
    input: &mut CssParser<'i>,
) -> Result<Vec<Named>, ParseError<SelectorParseErrorKind>> {
    let list = SelectorList::parse(&Selectors, input, ParseRelative::No)?;
    Ok(list.slice().iter().filter(|it| is_decidable(it)).cloned().map(Named).collect())
}

impl Named {
    pub(crate) fn specificity(&self) -> u32 {
        self.0.specificity()
    }
}

/// Those of these things whose selector names the last of the open elements.
pub(crate) fn naming_last<'a, T>(
    open: &'a [Open],
    things: impl Iterator<Item = (&'a Named, T)>,
) -> Vec<T> {
    let Some(at) = open.len().checked_sub(1) else { return Vec::new() };
    let mut caches = SelectorCaches::default();
    // Mail has hardly ever a document type, so class names are alike in either case.
    let mut context = MatchingContext::new(
        MatchingMode::Normal,
        None,
        &mut caches,
        QuirksMode::Quirks,
        NeedsSelectorFlags::No,
        MatchingForInvalidation::No,
    );
    let element = Node { open, at };
    let named = things.filter(|it| matches_selector(&it.0.0, 0, None, element, &mut context));
    named.map(|it| it.1).collect()
}

fn is_decidable(selector: &Selector<Css>) -> bool {
    selector.iter_raw_match_order().all(|it| match it {
        Component::LocalName(_)
        | Component::ID(_)
        | Component::Class(_)
        | Component::AttributeInNoNamespaceExists { .. }
        | Component::AttributeInNoNamespace { .. }
        | Component::AttributeOther(_)
        | Component::ExplicitUniversalType
        | Component::Combinator(Combinator::Child | Combinator::Descendant) => true,
        Component::Negation(list) | Component::Is(list) | Component::Where(list) => {
            list.slice().iter().all(is_decidable)
        }
        _ => false,
    })
}

#[derive(Clone, Debug)]
pub(crate) struct Css;

impl SelectorImpl for Css {
    type ExtraMatchingData<'a> = ();
    type AttrValue = Word;
    type Identifier = Word;
    type LocalName = Word;
    type NamespaceUrl = Word;
    type NamespacePrefix = Word;
    type BorrowedNamespaceUrl = str;
    type BorrowedLocalName = str;
    type NonTSPseudoClass = State;
    type PseudoElement = State;
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Word(String);

impl From<&str> for Word {
    fn from(word: &str) -> Word {
        Word(word.to_owned())
    }
}

impl AsRef<str> for Word {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Word {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl ToCss for Word {
    fn to_css<W: fmt::Write>(&self, dest: &mut W) -> fmt::Result {
        serialize_identifier(&self.0, dest)
    }
}

impl PrecomputedHash for Word {
    /// Only hints for filters that are not used.
    fn precomputed_hash(&self) -> u32 {
        0
    }
}

/// A state or a pseudo element: well-formed, and never true of an element that is only read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State(String);

impl ToCss for State {
    fn to_css<W: fmt::Write>(&self, dest: &mut W) -> fmt::Result {
        dest.write_char(':')?;
        serialize_identifier(&self.0, dest)
    }
}

impl NonTSPseudoClass for State {
    fn is_active_or_hover(&self) -> bool {
        false
    }

    fn is_user_action_state(&self) -> bool {
        false
    }
}

impl PseudoElement for State {}

struct Selectors;

impl<'i> Parser<'i> for Selectors {
    type Impl = Css;
    type Error = SelectorParseErrorKind;

    fn parse_is_and_where(&self) -> bool {
        true
    }

    fn parse_non_ts_pseudo_class(
        &self,
        name: &str,
    ) -> Result<State, ParseError<SelectorParseErrorKind>> {
        Ok(State(name.to_owned()))
    }

    fn parse_pseudo_element(
        &self,
        name: &str,
    ) -> Result<State, ParseError<SelectorParseErrorKind>> {
        Ok(State(name.to_owned()))
    }
}

/// An element and, below it, those it stands in.
#[derive(Clone, Copy)]
struct Node<'a> {
    open: &'a [Open],
    at: usize,
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "element {}", self.at)
    }
}

impl Node<'_> {
    fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.open[self.at].attributes.iter();
        attributes.find(|it| it.0 == name).map(|it| it.1.as_str())
    }
}

impl Element for Node<'_> {
    type Impl = Css;

    fn opaque(&self) -> OpaqueElement {
        OpaqueElement::new(&self.open[self.at])
    }

    fn parent_element(&self) -> Option<Self> {
        Some(Node { at: self.at.checked_sub(1)?, ..*self })
    }

    fn parent_node_is_shadow_root(&self) -> bool {
        false
    }

    fn containing_shadow_host(&self) -> Option<Self> {
        None
    }

    fn is_pseudo_element(&self) -> bool {
        false
    }

    fn prev_sibling_element(&self) -> Option<Self> {
        None
    }

    fn next_sibling_element(&self) -> Option<Self> {
        None
    }

    fn first_element_child(&self) -> Option<Self> {
        None
    }

    fn is_html_element_in_html_document(&self) -> bool {
        true
    }

    fn has_local_name(&self, name: &str) -> bool {
        self.open[self.at].name == name.as_bytes()
    }

    fn has_namespace(&self, _: &str) -> bool {
        true
    }

    fn is_same_type(&self, other: &Self) -> bool {
        self.open[self.at].name == other.open[other.at].name
    }

    fn attr_matches(
        &self,
        _: &NamespaceConstraint<&Word>,
        name: &Word,
        operation: &AttrSelectorOperation<&Word>,
    ) -> bool {
        self.attribute(&name.0).is_some_and(|it| operation.eval_str(it))
    }

    fn match_non_ts_pseudo_class(&self, _: &State, _: &mut MatchingContext<'_, Css>) -> bool {
        false
    }

    fn match_pseudo_element(&self, _: &State, _: &mut MatchingContext<'_, Css>) -> bool {
        false
    }

    fn apply_selector_flags(&self, _: ElementSelectorFlags) {}

    fn is_link(&self) -> bool {
        false
    }

    fn is_html_slot_element(&self) -> bool {
        false
    }

    fn has_id(&self, id: &Word, case: CaseSensitivity) -> bool {
        self.attribute("id").is_some_and(|it| case.eq(it.as_bytes(), id.0.as_bytes()))
    }

    fn has_class(&self, name: &Word, case: CaseSensitivity) -> bool {
        let classes = self.attribute("class").unwrap_or_default();
        classes.split_ascii_whitespace().any(|it| case.eq(it.as_bytes(), name.0.as_bytes()))
    }

    fn has_custom_state(&self, _: &Word) -> bool {
        false
    }

    fn imported_part(&self, _: &Word) -> Option<Word> {
        None
    }

    fn is_part(&self, _: &Word) -> bool {
        false
    }

    fn is_empty(&self) -> bool {
        false
    }

    fn is_root(&self) -> bool {
        self.at == 0
    }

    fn add_element_unique_hashes(&self, _: &mut BloomFilter) -> bool {
        false
    }
}
