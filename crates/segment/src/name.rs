//! Names of heaps: what is allowed.

use crate::{Code, Error, Result};

/// The longest name, in bytes.
pub const LONGEST_NAME: usize = 64;

/// 1 to 64 of `A–Z a–z 0–9 . _ -`, not starting with a dot; else `ERR_COHEAP_INVALID_ARGUMENT`.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Error::about(
            Code::InvalidArgument,
            "a heap's name has 1 to 64 characters",
            name.len() as u64,
        ));
    }
    if !name.bytes().all(allowed) {
        return Err(Error::new(
            Code::InvalidArgument,
            "a heap's name is made of letters, digits, dots, underscores and hyphens",
        ));
    }
    if name.starts_with('.') {
        return Err(Error::new(Code::InvalidArgument, "a heap's name does not start with a dot"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_of_the_rules_are_refused() {
        for good in ["a", "A.b_c-9", "-", &"x".repeat(64)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", ".", ".a", "a/b", "a b", "ä", "a\0", "../x", &"x".repeat(65)] {
            assert_eq!(check_name(bad).unwrap_err().code, Code::InvalidArgument, "{bad:?}");
        }
    }
}
