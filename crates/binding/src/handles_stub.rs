//! stub
use coheap_heap::segment::{Off, Result};
pub struct Handles {
    free: Vec<u32>,
    next: u32,
}
impl Handles {
    pub fn new() -> Handles {
        Handles { free: vec![], next: 1 }
    }
    pub fn publish(&mut self, _: Off) -> Result<u32> {
        Ok(self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        }))
    }
    pub fn withdraw(&mut self, h: u32) {
        self.free.push(h)
    }
}
