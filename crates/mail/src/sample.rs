//! What the search for injections calls the surfaces of a mail: the one place where the two vocabularies
//! meet.

use injection::{Kind, Part, Sample};

use crate::surface::{SurfaceKind, Surfaces};

impl From<Surfaces> for Sample {
    fn from(surfaces: Surfaces) -> Sample {
        let parts = surfaces.list.into_iter();
        Sample { parts: parts.map(|it| Part { kind: it.kind.into(), text: it.text }).collect() }
    }
}

impl From<SurfaceKind> for Kind {
    fn from(kind: SurfaceKind) -> Kind {
        match kind {
            SurfaceKind::Subject => Kind::Subject,
            SurfaceKind::Name => Kind::Name,
            SurfaceKind::Text => Kind::Text,
            SurfaceKind::Html => Kind::Html,
            SurfaceKind::Hidden => Kind::Hidden,
            SurfaceKind::Attribute => Kind::Attribute,
            SurfaceKind::Comment => Kind::Comment,
            SurfaceKind::Link => Kind::Link,
            SurfaceKind::Filename => Kind::Filename,
            SurfaceKind::Attached => Kind::Attached,
            SurfaceKind::Divergent => Kind::Divergent,
        }
    }
}
