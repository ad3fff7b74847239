//! The random numbers of `scripts/goldens/train_parity.py`: weights, images and labels that are
//! computed instead of stored. Both sides get the same bits.

/// SplitMix64, with the 64-bit FNV-1a hash of the stream's name as its seed.
pub(crate) fn bits(stream: &str) -> impl Iterator<Item = u64> + use<> {
    let mut state = stream
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
        });
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

/// Float32 numbers in `[-bound, bound)`, from the upper 24 bits; only the product is rounded.
pub(crate) fn uniform(stream: &str, count: usize, bound: f64) -> Vec<f64> {
    let number = |bits: u64| {
        let unit = (bits >> 40) as f32 / (1 << 23) as f32 - 1.0;
        f64::from(unit * bound as f32)
    };
    bits(stream).take(count).map(number).collect()
}

/// The sum over `vector` with the random signs of projection `k`: plus where the bit is 1.
pub(crate) fn projection(k: usize, vector: &[f64]) -> f64 {
    let words = bits(&format!("projection.{k}"));
    let mut sum = 0.0;
    for (part, word) in vector.chunks(64).zip(words) {
        for (bit, number) in part.iter().enumerate() {
            sum += if word >> bit & 1 == 1 {
                *number
            } else {
                -number
            };
        }
    }
    sum
}
