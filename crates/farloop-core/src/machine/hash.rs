//! A keyed hash and a small generator: both come from the seed, so a run can be repeated (L20) and a submitter,
//! who makes the ids, cannot aim at one bucket.

use core::hash::{BuildHasher, Hasher};

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which must not be zero. The bias is below 2^-32 for the sizes at hand.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// Multiplies and folds the halves of the product: one multiplication mixes 128 bits (as wyhash does).
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

/// The key of all maps of one core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    a: u64,
    b: u64,
}

impl Keyed {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x6661_726c_6f6f_7021);
        Self { a: rng.next() | 1, b: rng.next() | 1 }
    }

    /// Hash of an id.
    pub(crate) fn id(self, id: u128) -> u64 {
        fold(fold(id as u64 ^ self.a, (id >> 64) as u64 ^ self.b) ^ self.b, self.a)
    }

    /// Hash of bytes.
    pub(crate) fn bytes(self, bytes: &[u8]) -> u64 {
        let mut hasher = self.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;
    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { state: self.b, key: self.a }
    }
}

/// See [`Keyed`].
#[derive(Clone, Debug)]
pub(crate) struct KeyedHasher {
    state: u64,
    key: u64,
}

impl Hasher for KeyedHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length keeps "a" and "a\0" apart.
        self.write_u64(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_left(56));
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        self.state = fold(self.state ^ value, self.key).wrapping_add(value.rotate_left(32));
    }
    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
        self.write_u64((value >> 64) as u64);
    }
    fn finish(&self) -> u64 {
        fold(self.state ^ self.key, self.key.rotate_left(23) | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn l20_the_same_seed_hashes_alike_and_another_does_not() {
        assert_eq!(Keyed::new(7).id(42), Keyed::new(7).id(42));
        assert_ne!(Keyed::new(7).id(42), Keyed::new(8).id(42));
        assert_ne!(Keyed::new(7).bytes(b"a"), Keyed::new(7).bytes(b"a\0"));
    }

    #[test]
    fn neighbouring_ids_spread_over_the_low_and_the_high_bits() {
        let key = Keyed::new(1);
        let low: BTreeSet<u64> = (0..4096u128).map(|i| key.id(i) & 0xfff).collect();
        let high: BTreeSet<u64> = (0..4096u128).map(|i| key.id(i << 64) >> 52).collect();
        // 4096 balls in 4096 bins fill 63 % of them.
        assert!(low.len() > 2400 && high.len() > 2400, "{} {}", low.len(), high.len());
    }
}
