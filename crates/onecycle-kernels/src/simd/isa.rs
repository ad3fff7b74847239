//! The instruction sets that the kernels are compiled for, and dispatch among them.

use super::portable::Portable;
use super::{PlainLoops, Simd, WithSimd};
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

/// The instruction set that kernels use. [`Isa::detect`] returns the machine's best; tests and
/// comparisons force another.
///
/// Results of different instruction sets agree up to rounding, not to the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust on vectors of four floats. Needs no instructions beyond those of the compilation
    /// target, so it works everywhere.
    Portable,
    /// AVX2 with FMA, eight lanes.
    Avx2,
    /// AVX-512 (F, VL, DQ, BW), sixteen lanes.
    Avx512,
}

impl Isa {
    /// All instruction sets, from the simplest to the widest.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// The widest instruction set of this machine. The standard library caches the CPU query.
    pub fn detect() -> Isa {
        if Isa::Avx512.is_available() {
            Isa::Avx512
        } else if Isa::Avx2.is_available() {
            Isa::Avx2
        } else {
            Isa::Portable
        }
    }

    /// Whether this machine can run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && Isa::Avx2.is_available()
            }
            #[cfg(not(all(target_arch = "x86_64", not(miri))))]
            _ => false,
        }
    }

    /// This instruction set if the machine has it, otherwise [`Isa::Portable`].
    pub(crate) fn or_portable(self) -> Isa {
        if self.is_available() {
            self
        } else {
            Isa::Portable
        }
    }

    /// Floats per vector.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Isa::Portable => 4,
            Isa::Avx2 => 8,
            Isa::Avx512 => 16,
        }
    }

    /// Runs `work` with these instructions, or with the portable ones if the machine lacks them.
    pub(crate) fn run<W: WithSimd>(self, work: W) -> W::Output {
        match self.or_portable() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `or_portable` found the instructions on this machine.
            Isa::Avx2 => unsafe { Avx2::call(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `or_portable` found the instructions on this machine.
            Isa::Avx512 => unsafe { Avx512::call(work) },
            // SAFETY: portable code needs no instructions beyond those of the compilation target.
            _ => unsafe { Portable::call(work) },
        }
    }
}

/// Runs `work`, compiled for `isa`.
#[inline(always)]
pub(crate) fn vectorised<L: PlainLoops>(isa: Isa, work: L) {
    struct Loops<L>(L);

    impl<L: PlainLoops> WithSimd for Loops<L> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            self.0.run();
        }
    }

    isa.run(Loops(work));
}
