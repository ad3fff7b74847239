//! Named random streams, and the distributions drawn from them.
//!
//! Every use of randomness has its own stream, derived from the seed of the run, a name and an
//! index: [`stream`]`(seed, "shuffle", epoch)`. Streams are independent: drawing more numbers from
//! one does not change another. A resumed run derives them again, so no generator state is saved.
//! The distributions here use only `next_u32` and `next_u64`, so that their bits do not depend on
//! the version of the `rand` crate.
//!
//! ```
//! use onecycle_vision::random::{Rng, permutation, stream};
//!
//! let mut first = stream(7, "initialisation", 0);
//! let mut again = stream(7, "initialisation", 0);
//! assert_eq!(first.next_u64(), again.next_u64());
//! assert_ne!(stream(7, "shuffle", 0).next_u64(), stream(7, "shuffle", 1).next_u64());
//! assert_eq!(permutation(&mut stream(7, "shuffle", 0), 5).len(), 5);
//! ```

mod beta;

pub use beta::beta;
pub use rand_chacha::ChaCha8Rng;
pub use rand_chacha::rand_core::Rng;

use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The random stream of this `seed`, `name` and `index`.
///
/// ChaCha with 8 rounds, keyed by the SHA-256 of all three. The length of the name is hashed too, so
/// that different triples give different keys. `index` is the epoch, the repetition, or 0.
pub fn stream(seed: u64, name: &str, index: u64) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(b"onecycle random stream 1");
    hash.update(seed.to_le_bytes());
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name.as_bytes());
    hash.update(index.to_le_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// A uniform integer from 0 to `bound - 1`; 0 if `bound` is 0 or 1.
///
/// Lemire, "Fast random integer generation in an interval", 2019: one multiplication, and rejection
/// of the products that would make some integers more likely.
pub fn below(rng: &mut impl Rng, bound: u32) -> u32 {
    if bound < 2 {
        return 0;
    }
    let mut product = u64::from(rng.next_u32()) * u64::from(bound);
    if (product as u32) < bound {
        let threshold = bound.wrapping_neg() % bound;
        while (product as u32) < threshold {
            product = u64::from(rng.next_u32()) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

/// A number in `[0, 1)` with 53 random bits.
pub fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A uniform number in `[low, high)`; `low` if both are equal.
pub fn between(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(rng)
}

/// Shuffles `items`; each order is equally likely (Fisher and Yates).
///
/// The slice may have at most 2³² - 1 items, because the draws have 32 bits.
pub fn shuffle<T>(rng: &mut impl Rng, items: &mut [T]) {
    debug_assert!(u32::try_from(items.len()).is_ok());
    for last in (1..items.len()).rev() {
        let other = below(rng, last as u32 + 1) as usize;
        items.swap(last, other);
    }
}

/// The integers from 0 to `count - 1` in random order.
pub fn permutation(rng: &mut impl Rng, count: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    shuffle(rng, &mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_by_seed_name_and_index() {
        let first = |seed, name, index| stream(seed, name, index).next_u64();
        let all = [
            first(1, "shuffle", 0),
            first(2, "shuffle", 0),
            first(1, "shuffle", 1),
            first(1, "augment", 0),
            first(1, "shuffl", 0),
        ];
        for (i, a) in all.iter().enumerate() {
            for b in &all[i + 1..] {
                assert_ne!(a, b);
            }
        }
        assert_eq!(first(1, "shuffle", 0), all[0]);
    }

    /// A run must be resumable by a later release, so these bits must never change.
    ///
    /// The numbers come from ChaCha8 (Bernstein, 2008) in Python:
    /// ```python
    /// key = sha256(b"onecycle random stream 1" + pack("<QQ", 42, 7) + b"shuffle" + pack("<Q", 3)).digest()
    /// words = chacha(key, rounds=8, counter=0, nonce=0)
    /// print([next(words) * 1000 >> 32 for _ in range(6)])
    /// ```
    #[test]
    fn bits_are_fixed() {
        let mut rng = stream(42, "shuffle", 3);
        let drawn: Vec<u32> = (0..6).map(|_| below(&mut rng, 1000)).collect();
        assert_eq!(drawn, [457, 343, 504, 481, 689, 766]);
        let order = permutation(&mut stream(42, "shuffle", 3), 8);
        assert_eq!(order, [1, 0, 5, 4, 6, 7, 2, 3]);
    }

    /// The nonce of ChaCha selects the image within its epoch. Same Python code as above.
    #[test]
    fn bits_of_images_are_fixed() {
        let mut rng = stream(42, "augment", 3);
        rng.set_stream(17);
        let drawn: Vec<u32> = (0..3).map(|_| rng.next_u32()).collect();
        assert_eq!(drawn, [1_975_409_900, 2_376_933_971, 3_818_231_953]);
    }

    #[test]
    fn below_is_uniform_and_in_range() {
        let mut rng = stream(0, "test", 0);
        assert_eq!(below(&mut rng, 0), 0);
        assert_eq!(below(&mut rng, 1), 0);
        for bound in [2_u32, 3, 7, 10] {
            let mut counts = vec![0_u32; bound as usize];
            let draws = 20_000 * bound;
            for _ in 0..draws {
                counts[below(&mut rng, bound) as usize] += 1;
            }
            // Six standard deviations of a binomial count with mean 20 000.
            for count in counts {
                assert!(
                    f64::from(count.abs_diff(20_000)) < 6.0 * 20_000_f64.sqrt(),
                    "{count} of {bound}"
                );
            }
        }
        assert!((0..1000).all(|_| below(&mut rng, u32::MAX) < u32::MAX));
    }

    #[test]
    fn unit_covers_its_interval() {
        let mut rng = stream(0, "test", 1);
        let draws: Vec<f64> = (0..100_000).map(|_| unit(&mut rng)).collect();
        assert!(draws.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!(
            (mean - 0.5).abs() < 6.0 * (1.0 / 12.0_f64).sqrt() / 100_000_f64.sqrt(),
            "{mean}"
        );
        assert_eq!(between(&mut rng, 2.5, 2.5), 2.5);
    }

    #[test]
    fn every_order_of_three_is_equally_likely() {
        let mut rng = stream(0, "test", 2);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..60_000 {
            *counts.entry(permutation(&mut rng, 3)).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(
            counts
                .values()
                .all(|&n| f64::from(n.abs_diff(10_000)) < 600.0),
            "{counts:?}"
        );
    }

    #[test]
    fn short_slices_are_left_alone() {
        let mut rng = stream(0, "test", 3);
        assert!(permutation(&mut rng, 0).is_empty());
        assert_eq!(permutation(&mut rng, 1), [0]);
    }
}
