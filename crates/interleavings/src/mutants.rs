//! The table of mutants names places of the source by their text. Here they become lines and columns.

use std::path::Path;

use coheap_segment::primitive::model::{Change, Mutant, Site};

/// Names of operations, as they are called.
const OPERATIONS: [&str; 9] =
    ["load", "store", "swap", "compare_exchange", "fetch_add", "fetch_and", "fetch_or", "fetch_max", "fence"];

/// One place, and what it does instead.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// The file, from the root of the workspace.
    pub file: &'static str,
    /// Text that is there once, around one operation: the first that stands in it.
    pub text: &'static str,
    /// What is changed.
    pub change: Change,
}

/// A [`Planted`] in a line.
pub const fn plant(file: &'static str, text: &'static str, change: Change) -> Planted {
    Planted { file, text, change }
}

impl Planted {
    /// The place. `Err`: the table does not fit the source any more.
    pub fn find(&self) -> Result<Mutant, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let source =
            std::fs::read_to_string(root.join(self.file)).map_err(|e| format!("{}: {e}", self.file))?;
        let mut places = source.match_indices(self.text);
        let (Some((start, _)), None) = (places.next(), places.next()) else {
            return Err(format!("{}: not there once: {}", self.file, self.text));
        };
        let inside = OPERATIONS
            .iter()
            .filter_map(|name| {
                let call = format!("{name}(");
                let mut found = self.text.match_indices(&call).map(|(i, _)| i);
                found.find(|&i| i == 0 || !is_of_a_name(self.text.as_bytes()[i - 1]))
            })
            .min()
            .ok_or_else(|| format!("{}: no operation in: {}", self.file, self.text))?;
        let before = &source[..start + inside];
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |i| i + 1);
        let site = Site { file: self.file, line, column: column as u32 + 1 };
        Ok(Mutant { site, change: self.change })
    }
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
