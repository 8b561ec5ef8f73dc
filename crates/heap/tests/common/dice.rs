/// Numbers that look random and can be had again (Marsaglia's xorshift).
pub struct Dice(pub u64);

impl Dice {
    /// Below `n`.
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}
