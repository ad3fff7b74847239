//! The crate's principal type.

use crate::simd::Isa;
use crate::workspace::Workspace;

/// All kernels as methods, with the instruction set they use and the scratch memory they share.
///
/// A value costs nothing to create. Its scratch memory grows to the largest need of any call, times
/// the number of threads that call at once, and is reused by later calls; dropping the value frees
/// it. Methods take `&self`, so one value can serve many threads.
///
/// Every method checks the shape and all slice lengths before it writes anything.
#[derive(Debug)]
pub struct Kernels {
    pub(crate) isa: Isa,
    pub(crate) workspace: Workspace,
}

impl Kernels {
    /// Kernels for the machine's widest instruction set.
    pub fn new() -> Self {
        Kernels::with_isa(Isa::detect())
    }

    /// Kernels for `isa`, or for [`Isa::Portable`] if this machine lacks `isa`.
    pub fn with_isa(isa: Isa) -> Self {
        Kernels {
            isa: isa.or_portable(),
            workspace: Workspace::default(),
        }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Bytes of scratch memory kept for the next call, without what running calls hold.
    pub fn workspace_bytes(&self) -> usize {
        self.workspace.bytes()
    }
}

impl Default for Kernels {
    fn default() -> Self {
        Kernels::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unavailable_instruction_set_falls_back_to_portable() {
        for isa in Isa::ALL {
            let used = Kernels::with_isa(isa).isa();
            let expected = if isa.is_available() {
                isa
            } else {
                Isa::Portable
            };
            assert_eq!(used, expected);
        }
    }
}
