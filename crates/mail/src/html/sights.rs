use super::{
    sheet::{Sheet, declarations},
    style::{Hiding, Looks, Sight},
    walk::{MAX_ATTRIBUTE, MAX_ATTRIBUTES, Open, is_never_shown},
};

/// What is seen of a page's elements, for readers that follow its tokens themselves.
pub struct Sights {
    sheet: Sheet,
    open: Vec<Open>,
}

impl Sights {
    /// Of a page with these style sheets.
    pub fn of(html: &str) -> Sights {
        Sights { sheet: super::sheet(html), open: Vec::new() }
    }

    /// An element begins within those that have not ended. Names are in lower case, and `style` is left
    /// out of the attributes.
    pub fn begin(
        &mut self,
        name: &[u8],
        mut attributes: Vec<(String, String)>,
        style: Option<&str>,
    ) {
        let around = self.sight();
        let mut looks = Looks::default();
        for (name, value) in &attributes {
            looks.attribute(name.as_bytes(), value);
        }
        attributes.truncate(if self.sheet.is_empty() { 0 } else { MAX_ATTRIBUTES });
        for (_, value) in &mut attributes {
            value.truncate(value.floor_char_boundary(MAX_ATTRIBUTE));
        }
        self.open.push(Open { name: name.to_vec(), attributes, sight: around });
        let own = style.map(declarations).unwrap_or_default();
        self.sheet.apply(&self.open, &own, &mut looks);
        let sight = if is_never_shown(name) { around.gone() } else { around.of(&looks) };
        if let Some(element) = self.open.last_mut() {
            element.sight = sight;
        }
    }

    /// The element that began last ends.
    pub fn end(&mut self) {
        self.open.pop();
    }

    /// What keeps text that comes now from being seen.
    pub fn hiding(&self) -> Option<Hiding> {
        self.sight().hiding()
    }

    fn sight(&self) -> Sight {
        self.open.last().map_or_else(Sight::default, |it| it.sight)
    }
}
