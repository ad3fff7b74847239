//! Which instructions the kernels use.

use super::Simd;
use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

/// The most lanes that any path has.
pub(crate) const MAX_LANES: usize = 16;

/// The instructions that a kernel uses. [`Path::detect`] gives the machine's best; tests and comparisons force others.
///
/// Results of different paths agree to rounding, not to the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// Plain Rust in vectors of four, whatever the crate is compiled for. Works everywhere.
    Portable,
    /// AVX2 with FMA, eight lanes.
    Avx2,
    /// AVX-512 (F, VL, DQ, BW), sixteen lanes.
    Avx512,
}

/// Work that is generic over the instruction set; `run` is inlined into a function with the features enabled.
pub(crate) trait Kernel {
    /// What comes of it.
    type Output;

    /// Does the work.
    ///
    /// # Safety
    ///
    /// The machine has the instructions of `S`.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

impl Path {
    /// Every path, from the simplest.
    pub const ALL: [Path; 3] = [Path::Portable, Path::Avx2, Path::Avx512];

    /// The fastest path of this machine. The answer is cached by the standard library.
    pub fn detect() -> Path {
        if Path::Avx512.is_available() {
            Path::Avx512
        } else if Path::Avx2.is_available() {
            Path::Avx2
        } else {
            Path::Portable
        }
    }

    /// Whether this machine can run it. Kernels take [`Path::Portable`] in place of a path that is not available.
    pub fn is_available(self) -> bool {
        match self {
            Path::Portable => true,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Path::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Path::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
                    && Path::Avx2.is_available()
            }
            #[cfg(not(all(target_arch = "x86_64", not(miri))))]
            _ => false,
        }
    }

    /// This path where the machine has it, else the portable one.
    pub(crate) fn checked(self) -> Path {
        if self.is_available() {
            self
        } else {
            Path::Portable
        }
    }

    /// Floats in a vector of this path.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Path::Portable => 4,
            Path::Avx2 => 8,
            Path::Avx512 => 16,
        }
    }

    /// Runs `kernel` with this path's instructions.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.checked() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `checked` found the instructions on this machine.
            Path::Avx2 => unsafe { Avx2::call(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `checked` found the instructions on this machine.
            Path::Avx512 => unsafe { Avx512::call(kernel) },
            // SAFETY: the portable path needs no instructions beyond the compiler's.
            _ => unsafe { Portable::call(kernel) },
        }
    }
}

/// Plain loops over slices: the compiler makes vectors of them by itself, given the instructions.
///
/// `run` must be `#[inline(always)]`, and so must be all that it calls; closures are not, and the compiler may leave them
/// without the instructions.
pub(crate) trait Loops {
    /// Does the work.
    fn run(self);
}

/// Runs `work` with the instructions of `path`.
#[inline(always)]
pub(crate) fn vectorised<L: Loops>(path: Path, work: L) {
    struct Plain<L>(L);

    impl<L: Loops> Kernel for Plain<L> {
        type Output = ();

        #[inline(always)]
        unsafe fn run<S: Simd>(self) {
            self.0.run();
        }
    }

    path.run(Plain(work));
}
