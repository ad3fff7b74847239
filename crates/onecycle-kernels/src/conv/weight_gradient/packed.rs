//! Plain matrix products of many channels, from copies.
//!
//! Neighbouring pixels lie a multiple of the channels apart, so a strip of a few input channels would fall into
//! few sets of the first-level cache. Strips of input channels and blocks of output channels are copied
//! instead; each strip is used for all blocks.

use super::{Images, Plan};
use crate::gemm::{AOrder, DepthLoop, Init, Tile, max_rows, split_evenly};
use crate::simd::Simd;
use crate::workspace::Workspace;

/// Fewest blocks of output channels in a part, and fewest input channels, for which a copy pays.
const MIN_BLOCKS: usize = 4;
const MIN_CHANNELS: usize = 64;

/// Whether [`Images::add_packed`] computes the products of this plan.
pub(super) fn applies(plan: &Plan) -> bool {
    plan.is_plain()
        && plan.part_blocks >= MIN_BLOCKS
        && plan.shape.out_channels >= MIN_BLOCKS * plan.block
        && plan.source.channels >= MIN_CHANNELS
}

impl Images<'_> {
    /// Adds the products of all pixels.
    ///
    /// # Safety
    /// The machine has the instructions of `S`.
    #[inline(always)]
    pub(super) unsafe fn add_packed<S: Simd>(&self, workspace: &Workspace, partial: &mut [f32]) {
        let plan = self.plan;
        let (channels_in, channels) = (plan.source.channels, plan.shape.out_channels);
        let pixels = self.count * plan.axes[1].outputs;
        debug_assert_eq!(self.padded.len(), pixels * channels_in);
        let init = match self.is_first {
            true => Init::Zero,
            false => Init::Accumulate,
        };
        let blocks = partial.len() / plan.block_len();
        let mut packed = workspace.take(blocks * pixels * plan.block);
        for (index, block) in packed.chunks_exact_mut(pixels * plan.block).enumerate() {
            let channel = (self.first_block + index) * plan.block;
            let width = plan.block.min(channels.saturating_sub(channel));
            for (pixel, place) in block.chunks_exact_mut(plan.block).enumerate() {
                let from = &self.gradient[pixel * channels + channel.min(channels)..][..width];
                place[..width].copy_from_slice(from);
                place[width..].fill(0.0);
            }
        }
        let max_rows = max_rows(S::REGISTERS, plan.block / S::LANES);
        let mut strip = workspace.take(pixels * max_rows);
        for (first, count) in split_evenly(channels_in, max_rows) {
            for (place, pixel) in strip
                .chunks_exact_mut(count)
                .zip(self.padded.chunks_exact(channels_in))
            {
                for (to, from) in place.iter_mut().zip(&pixel[first..]) {
                    *to = *from;
                }
            }
            let of_blocks = partial.chunks_exact_mut(plan.block_len());
            let gradients = packed.chunks_exact(pixels * plan.block);
            for (index, (partial, gradient)) in of_blocks.zip(gradients).enumerate() {
                let channel = (self.first_block + index) * plan.block;
                if channel >= channels {
                    break;
                }
                let tile = Tile {
                    rows: count,
                    columns: plan.block.min(channels - channel),
                    a: strip.as_ptr(),
                    a_order: AOrder::ColumnMajor,
                    a_stride: count,
                    b: gradient.as_ptr(),
                    b_stride: plan.block,
                    c: partial[first * plan.block..].as_mut_ptr(),
                    c_stride: plan.block,
                    depth: pixels,
                    middle: DepthLoop::ONCE,
                    outer: DepthLoop::ONCE,
                    init,
                    limits: None,
                };
                // SAFETY: strip and gradient hold `pixels` rows of `count` and of `block` floats; the
                // sums have room for whole blocks.
                unsafe { tile.run::<S>() }
            }
        }
    }
}
