//! Whether an element is shown, by its attributes and the declarations that are for it.

use cssparser::color::{parse_hash_color, parse_named_color};

use super::sheet::Declaration;

/// Colours this near to each other, of 255, are one to the eye.
const NEAR: u8 = 8;

/// What is declared of an element's looks; what is not declared is as in the element around it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Looks {
    no_display: bool,
    invisible: Option<bool>,
    transparent: bool,
    tiny: Option<bool>,
    no_extent: bool,
    clips: bool,
    detached: bool,
    far: bool,
    indented_away: bool,
    clipped: bool,
    color: Option<Color>,
    background: Option<Background>,
}

/// What is seen of an element's text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sight {
    /// No declaration further in brings it back.
    gone: Option<Hiding>,
    invisible: bool,
    tiny: bool,
    color: Option<Color>,
    background: Background,
}

/// How a page keeps a person from seeing some of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hiding {
    /// Not displayed at all.
    Display,
    Visibility,
    /// Transparent, or cut away.
    Transparent,
    /// Letters too small to be read.
    Tiny,
    /// Outside of the window.
    OffScreen,
    /// A box without extent that clips what is in it.
    Clipped,
    /// The colour of what is behind it.
    SameColor,
    /// An element that is never shown, such as `template`.
    Element,
}

/// Red, green, blue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Color(u8, u8, u8);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Background {
    Color(Color),
    /// A picture, which may have any colour.
    Unknown,
}

impl Default for Sight {
    /// Of a page that says nothing: on white.
    fn default() -> Sight {
        Sight {
            gone: None,
            invisible: false,
            tiny: false,
            color: None,
            background: Background::Color(Color(255, 255, 255)),
        }
    }
}

impl Sight {
    /// What is seen of an element in this one.
    pub(crate) fn of(&self, looks: &Looks) -> Sight {
        Sight {
            gone: self.gone.or(looks.hides()),
            invisible: looks.invisible.unwrap_or(self.invisible),
            tiny: looks.tiny.unwrap_or(self.tiny),
            color: looks.color.or(self.color),
            background: looks.background.unwrap_or(self.background),
        }
    }

    pub(crate) fn gone(self) -> Sight {
        Sight { gone: self.gone.or(Some(Hiding::Element)), ..self }
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.hiding().is_some()
    }

    pub(crate) fn hiding(&self) -> Option<Hiding> {
        let on_its_own = match (self.color, self.background) {
            (Some(color), Background::Color(background)) => color.is_near(background),
            _ => false,
        };
        let ways = [
            (self.invisible, Hiding::Visibility),
            (self.tiny, Hiding::Tiny),
            (on_its_own, Hiding::SameColor),
        ];
        self.gone.or(ways.into_iter().find_map(|(applies, way)| applies.then_some(way)))
    }
}

impl Looks {
    /// Takes account of an attribute that says what style sheets may overrule; `name` is in lower case.
    pub(crate) fn attribute(&mut self, name: &[u8], value: &str) {
        match name {
            b"hidden" => self.no_display = true,
            b"color" => self.color = color(value).or(self.color),
            b"bgcolor" => self.background = color(value).map(Background::Color).or(self.background),
            b"background" if !value.is_empty() => self.background = Some(Background::Unknown),
            _ => (),
        }
    }

    /// Whether a property counts here.
    pub(crate) fn reads(property: &str) -> bool {
        matches!(
            property,
            "display"
                | "visibility"
                | "mso-hide"
                | "opacity"
                | "font-size"
                | "font"
                | "height"
                | "max-height"
                | "width"
                | "max-width"
                | "overflow"
                | "overflow-x"
                | "overflow-y"
                | "position"
                | "left"
                | "top"
                | "right"
                | "bottom"
                | "margin-left"
                | "margin-top"
                | "text-indent"
                | "clip"
                | "clip-path"
                | "transform"
                | "color"
                | "background"
                | "background-color"
                | "background-image"
        )
    }

    /// Takes account of a declaration; a later one overrules an earlier one.
    pub(crate) fn declare(&mut self, declaration: &Declaration) {
        let value = declaration.value.as_str();
        match declaration.property.as_str() {
            "display" => self.no_display = value == "none",
            "visibility" => self.invisible = Some(matches!(value, "hidden" | "collapse")),
            "mso-hide" => self.no_display |= value == "all",
            "opacity" => self.transparent = number(value).is_some_and(|it| it < 0.05),
            "font-size" => self.tiny = pixels(value).map(is_tiny).or(self.tiny),
            "font" => self.tiny = value.split([' ', '/']).find_map(pixels).map(is_tiny),
            "height" | "max-height" | "width" | "max-width" => {
                self.no_extent |= pixels(value) == Some(0.0);
            }
            "overflow" | "overflow-x" | "overflow-y" => {
                self.clips |= matches!(value, "hidden" | "clip");
            }
            "position" => self.detached = matches!(value, "absolute" | "fixed"),
            "left" | "top" | "right" | "bottom" | "margin-left" | "margin-top" => {
                self.far |= is_far(value);
            }
            "text-indent" => self.indented_away = is_far(value),
            "clip" => self.clipped = value.starts_with("rect(0"),
            "clip-path" => self.transparent |= is_cut_away(value),
            "transform" => self.transparent |= value.starts_with("scale(0)"),
            "color" if is_transparent(value) => self.transparent = true,
            "color" => self.color = color(value).or(self.color),
            "background" | "background-color" | "background-image" => self.background(value),
            _ => (),
        }
    }

    fn background(&mut self, value: &str) {
        let pictured = value.contains("url(") || value.contains("gradient(");
        let found = color(value).or_else(|| value.split(' ').find_map(color));
        self.background = match found {
            _ if pictured => Some(Background::Unknown),
            Some(color) => Some(Background::Color(color)),
            None => self.background,
        };
    }

    fn hides(&self) -> Option<Hiding> {
        let ways = [
            (self.no_display, Hiding::Display),
            (self.transparent, Hiding::Transparent),
            (self.far || self.indented_away, Hiding::OffScreen),
            (self.no_extent && self.clips, Hiding::Clipped),
            (self.clipped && self.detached, Hiding::Clipped),
        ];
        ways.into_iter().find_map(|(applies, way)| applies.then_some(way))
    }
}

impl Color {
    fn is_near(self, other: Color) -> bool {
        let near = |a: u8, b: u8| a.abs_diff(b) <= NEAR;
        near(self.0, other.0) && near(self.1, other.1) && near(self.2, other.2)
    }
}

fn number(value: &str) -> Option<f32> {
    match value.strip_suffix('%') {
        Some(percent) => percent.trim_end().parse::<f32>().ok().map(|it| it / 100.0),
        None => value.parse().ok(),
    }
}

/// A length, taking any relative unit for sixteen pixels.
fn pixels(value: &str) -> Option<f32> {
    let digits =
        value.find(|it: char| it.is_ascii_alphabetic() || it == '%').unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    let number: f32 = number.trim_end().parse().ok()?;
    match unit {
        "px" => Some(number),
        "" => (number == 0.0).then_some(0.0),
        "pt" => Some(number * 4.0 / 3.0),
        "em" | "rem" | "ex" | "ch" => Some(number * 16.0),
        "%" | "vw" | "vh" => Some(number * 16.0 / 100.0),
        _ => None,
    }
}

/// Too small to be read by anybody.
fn is_tiny(pixels: f32) -> bool {
    pixels <= 1.0
}

/// Outside of any window.
fn is_far(value: &str) -> bool {
    pixels(value).is_some_and(|it| it <= -900.0)
}

/// Shapes without an inside.
fn is_cut_away(value: &str) -> bool {
    ["inset(50%", "inset(100%", "circle(0", "polygon(0 0)", "polygon(0px 0px, 0px 0px, 0px 0px"]
        .iter()
        .any(|it| value.starts_with(it))
}

fn is_transparent(value: &str) -> bool {
    let alpha = || {
        let (_, alpha) = value.strip_suffix(')')?.rsplit_once([',', '/'])?;
        number(alpha.trim())
    };
    value == "transparent" || (value.starts_with("rgba(") && alpha().is_some_and(|it| it < 0.05))
}

fn color(value: &str) -> Option<Color> {
    let value = value.trim();
    if let Some(hex) = value.strip_prefix('#') {
        let (r, g, b, _) = parse_hash_color(hex.as_bytes()).ok()?;
        return Some(Color(r, g, b));
    }
    let parts = value.strip_prefix("rgb(").or_else(|| value.strip_prefix("rgba("));
    if let Some(parts) = parts.and_then(|it| it.strip_suffix(')')) {
        let mut parts = parts.split([',', ' ', '/']).filter(|it| !it.is_empty());
        let mut next = || parts.next()?.parse::<u8>().ok();
        return Some(Color(next()?, next()?, next()?));
    }
    parse_named_color(value).ok().map(|(r, g, b)| Color(r, g, b))
}
