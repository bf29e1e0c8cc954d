//! Whether an element is shown, by its own attributes.
//!
//! Style sheets are not read: what they hide counts as shown.

/// What an element's attributes say of its looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Looks {
    pub hidden: Option<Hiding>,
    pub color: Option<Color>,
    pub background: Option<Color>,
}

/// How a page keeps a person from seeing some of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hiding {
    /// The attribute `hidden`.
    Attribute,
    /// `display:none` or `mso-hide:all`.
    Display,
    /// `visibility:hidden`.
    Visibility,
    /// `opacity:0`, or a colour that is none.
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
pub struct Color(u8, u8, u8);

impl Looks {
    /// Takes account of an attribute; `name` is in lower case.
    pub fn attribute(&mut self, name: &[u8], value: &str) {
        match name {
            b"hidden" => self.hidden = Some(Hiding::Attribute),
            b"style" => self.declarations(value),
            b"color" => self.color = color(value).or(self.color),
            b"bgcolor" => self.background = color(value).or(self.background),
            _ => (),
        }
    }

    fn declarations(&mut self, style: &str) {
        let style = without_comments(style).to_ascii_lowercase();
        let mut declared = Declared::default();
        for declaration in style.split(';') {
            let Some((property, value)) = declaration.split_once(':') else { continue };
            let value = value.trim();
            let value = value.strip_suffix("!important").unwrap_or(value).trim_end();
            self.declaration(property.trim(), value, &mut declared);
        }
        self.hidden = self.hidden.or(declared.hides());
    }

    fn declaration(&mut self, property: &str, value: &str, declared: &mut Declared) {
        match property {
            "display" => declared.no_display = value == "none",
            "visibility" => declared.invisible = matches!(value, "hidden" | "collapse"),
            "mso-hide" => declared.no_display |= value == "all",
            "opacity" => declared.transparent = number(value).is_some_and(|it| it < 0.05),
            "font-size" => declared.tiny = is_tiny(value),
            "font" => {
                declared.tiny = value.split([' ', '/']).any(|it| it != "0" && is_tiny(it));
            }
            "height" | "max-height" | "width" | "max-width" => {
                declared.no_extent |= pixels(value) == Some(0.0);
            }
            "overflow" | "overflow-x" | "overflow-y" => declared.clips |= value == "hidden",
            "position" => declared.detached = matches!(value, "absolute" | "fixed"),
            "left" | "top" | "right" | "bottom" | "margin-left" | "margin-top" => {
                declared.far |= is_far(value);
            }
            "text-indent" => declared.indented_away = is_far(value),
            "clip" => declared.clipped = value.starts_with("rect(0"),
            "color" if value == "transparent" => declared.transparent = true,
            "color" => self.color = color(value).or(self.color),
            "background-color" | "background" => {
                let found = value.split(' ').find_map(color);
                self.background = found.or(self.background);
            }
            _ => (),
        }
    }
}

#[derive(Default)]
struct Declared {
    no_display: bool,
    invisible: bool,
    transparent: bool,
    tiny: bool,
    no_extent: bool,
    clips: bool,
    detached: bool,
    far: bool,
    indented_away: bool,
    clipped: bool,
}

impl Declared {
    fn hides(&self) -> Option<Hiding> {
        let ways = [
            (self.no_display, Hiding::Display),
            (self.invisible, Hiding::Visibility),
            (self.transparent, Hiding::Transparent),
            (self.tiny, Hiding::Tiny),
            (self.far || self.indented_away, Hiding::OffScreen),
            (self.no_extent && self.clips, Hiding::Clipped),
            (self.clipped && self.detached, Hiding::Clipped),
        ];
        ways.into_iter().find_map(|(applies, way)| applies.then_some(way))
    }
}

fn without_comments(style: &str) -> String {
    let mut kept = String::with_capacity(style.len());
    let mut rest = style;
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    kept
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
        "px" | "" => Some(number),
        "pt" => Some(number * 4.0 / 3.0),
        "em" | "rem" | "ex" | "ch" => Some(number * 16.0),
        "%" | "vw" | "vh" => Some(number * 16.0 / 100.0),
        _ => None,
    }
}

/// Too small to be read by anybody.
fn is_tiny(value: &str) -> bool {
    pixels(value).is_some_and(|it| it <= 1.0)
}

/// Outside of any window.
fn is_far(value: &str) -> bool {
    pixels(value).is_some_and(|it| it <= -900.0)
}

fn color(value: &str) -> Option<Color> {
    let value = value.trim().to_ascii_lowercase();
    if let Some(hex) = value.strip_prefix('#') {
        return hex_color(hex);
    }
    if let Some(parts) = value.strip_prefix("rgb(").and_then(|it| it.strip_suffix(')')) {
        let mut parts = parts.split(',').map(|it| it.trim().parse::<u8>().ok());
        return Some(Color(parts.next()??, parts.next()??, parts.next()??));
    }
    match value.as_str() {
        "white" => Some(Color(255, 255, 255)),
        "black" => Some(Color(0, 0, 0)),
        "red" => Some(Color(255, 0, 0)),
        "gray" | "grey" => Some(Color(128, 128, 128)),
        "silver" => Some(Color(192, 192, 192)),
        "whitesmoke" => Some(Color(245, 245, 245)),
        _ => None,
    }
}

fn hex_color(hex: &str) -> Option<Color> {
    let digits: Vec<u8> =
        hex.chars().map(|it| it.to_digit(16).map(|it| it as u8)).collect::<Option<_>>()?;
    match digits[..] {
        [r, g, b] | [r, g, b, _] => Some(Color(r * 17, g * 17, b * 17)),
        [r, s, g, h, b, c] | [r, s, g, h, b, c, _, _] => {
            Some(Color(r * 16 + s, g * 16 + h, b * 16 + c))
        }
        _ => None,
    }
}
