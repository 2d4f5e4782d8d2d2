//! What happened, as a hash always and as lines on demand.
//!
//! Formatting every step would cost more than the steps. A run keeps only the hash; a seed that failed is run again
//! with lines switched on, which is exact because of L20.

use std::collections::VecDeque;

/// Lines shown of a failed seed.
pub const TAIL: usize = 40;

/// Hash and, if asked for, lines.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    lines: Option<VecDeque<String>>,
    print: bool,
    /// No lines for now.
    pub mute: bool,
}

impl Trace {
    /// `keep`: the last lines are kept; `print`: all lines go to the standard output at once.
    #[must_use]
    pub fn new(keep: bool, print: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, lines: (keep || print).then(VecDeque::new), print, mute: false }
    }

    /// Mixes a number into the hash.
    pub fn mix(&mut self, x: u64) {
        self.hash = (self.hash.rotate_left(5) ^ x).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    /// Mixes an id into the hash.
    pub fn mix_id(&mut self, x: u128) {
        self.mix(x as u64 ^ (x >> 64) as u64);
    }

    /// Adds a line, if lines are wanted.
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines
            && !self.mute
        {
            let line = line();
            if self.print {
                println!("{line}");
            }
            if lines.len() == TAIL {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines.
    #[must_use]
    pub fn tail(&self) -> Vec<String> {
        self.lines.iter().flatten().cloned().collect()
    }
}
