//! What the fuzz targets share: the heap of the corruption test, patched as a fuzzer's input says.

use std::path::PathBuf;
use std::sync::OnceLock;

#[path = "../../crates/heap/tests/corruption/base.rs"]
pub mod base;
#[path = "../../crates/heap/tests/corruption/damage.rs"]
#[allow(dead_code, reason = "the fuzzer chooses the damage")]
pub mod damage;
#[path = "../../crates/heap/tests/corruption/exercise.rs"]
pub mod exercise;

use base::{Base, Image};

/// The folder for segments: `COHEAP_FUZZ_DIR`, on a tmpfs, which whoever has set it removes.
pub fn folder() -> PathBuf {
    let folder = std::env::var_os("COHEAP_FUZZ_DIR").expect("COHEAP_FUZZ_DIR");
    let folder = PathBuf::from(folder).join(std::process::id().to_string());
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The images, made at first use.
pub fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let folder = folder();
        Base::make(&folder);
        Base::load(&folder)
    })
}

/// An input: bytes that say what is damaged and what is done.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    /// The next byte; 0 at the end.
    pub fn byte(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// The next so many bytes as a number, as if zeros came after the end.
    pub fn number(&mut self, bytes: usize) -> u64 {
        let n = bytes.min(self.0.len());
        let (now, rest) = self.0.split_at(n);
        self.0 = rest;
        now.iter().rev().fold(0, |sum, &byte| sum << 8 | byte as u64)
    }

    /// Words to be overwritten, and with what: how, where, and a number, for each.
    pub fn damage(&mut self, image: &Image) -> Vec<(usize, u64)> {
        let mut damage = Vec::new();
        for _ in 0..self.byte() % 17 {
            let (how, place) = (self.byte(), self.number(2));
            let part = &image.words[(how >> 6) as usize];
            let any = |n: u64| image.all[n as usize % image.all.len()];
            let at = match how >> 5 & 1 {
                0 => part[place as usize % part.len()],
                // the first words of a block say most
                _ => any(place >> 3) as usize + 8 * (place & 7) as usize,
            };
            let now = base::word(&image.bytes, at);
            damage.push((at, match how & 7 {
                0 => now ^ 1 << (self.byte() & 63),
                1 => self.number(8),
                2 => any(self.number(2)),
                3 => now & 0xffff << 48 | any(self.number(2)),
                4 => now.wrapping_add(self.byte() as u64).wrapping_sub(128),
                5 => now & !(0xffff << 48) | self.number(2) << 48,
                6 => base::word(&image.bytes, part[self.number(2) as usize % part.len()]),
                _ => u64::MAX >> (self.byte() & 63),
            }));
        }
        damage
    }
}
