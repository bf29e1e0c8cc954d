//! Workbooks of the format before OOXML (MS-XLS).

use std::io::Cursor;

use calamine::{Data, Reader as _, Sheet, SheetVisible, Xls, XlsError};

use crate::{Kind, Unreadable, collect::Collected};

pub(crate) fn read(octets: &[u8], collected: &mut Collected) -> Result<(), Unreadable> {
    let mut book = Xls::new(Cursor::new(octets)).map_err(|err| match err {
        XlsError::Password => Unreadable::Encrypted,
        _ => Unreadable::Broken,
    })?;
    let sheets: Vec<Sheet> = book.sheets_metadata().to_vec();
    for sheet in sheets {
        collected.line(Kind::Metadata, &sheet.name);
        let shown = sheet.visible == SheetVisible::Visible;
        let kind = if shown { Kind::Text } else { Kind::Hidden };
        let cells = book.worksheet_range(&sheet.name).map_err(|_| Unreadable::Broken)?;
        for (_, _, cell) in cells.used_cells() {
            // Numbers give no orders.
            if let Data::String(text) = cell {
                collected.line(kind, text);
            }
        }
    }
    Ok(())
}
