//! Tensors into packed planes and back, one image or a vector of images at a time.
//!
//! With one lane a packed channel is the line of [`PlaneMap`]; with a vector's lanes each place holds that pixel of as many
//! images side by side, so that no vector ever crosses a row, whatever the width.

use super::plane::{PlaneMap, UNUSED};
use crate::simd::{MAX_LANES, Simd};

/// Floats behind the last packed channel: zeros that vectors may read, then a place for what nobody needs.
pub(crate) const SLACK: usize = 2 * MAX_LANES;

/// Floats that `channels` packed channels take.
pub(crate) fn packed_len(map: &PlaneMap, channels: usize, lanes: usize) -> usize {
    channels * map.places * lanes + SLACK
}

/// Packs `images` consecutive images of `channels` planes each. `lanes` is 1 (and `images` 1) or `S::LANES`; lanes beyond
/// `images` become zero.
///
/// # Safety
/// The machine has the instructions of `S`.
#[inline(always)]
pub(crate) unsafe fn pack<S: Simd>(
    map: &PlaneMap,
    channels: usize,
    lanes: usize,
    images: usize,
    tensor: &[f32],
    packed: &mut [f32],
) {
    assert!(
        tensor.len() == images * channels * map.pixels
            && packed.len() == packed_len(map, channels, lanes)
    );
    assert!(images <= lanes && (lanes == 1 || lanes == S::LANES));
    let end = channels * map.places * lanes;
    for channel in 0..channels {
        let target = &mut packed[channel * map.places * lanes..];
        for &(start, len) in &map.gaps {
            // Whole vectors: what they touch behind the gap is written later, or is slack.
            for at in (start * lanes..(start + len) * lanes).step_by(S::LANES) {
                let zeros = target[at..][..S::LANES].as_mut_ptr();
                // SAFETY: a slice of `S::LANES` elements; the caller guarantees the instructions.
                unsafe { S::store(zeros, S::splat(0.0)) }
            }
        }
        if lanes == 1 {
            let plane = &tensor[channel * map.pixels..][..map.pixels];
            for segment in &map.segments {
                let target = &mut target[segment.packed..][..segment.len];
                if map.step == 1 {
                    // SAFETY: the caller guarantees the instructions.
                    unsafe { copy_row::<S>(&plane[segment.tensor..][..segment.len], target) }
                } else {
                    for (x, y) in target
                        .iter_mut()
                        .zip(plane[segment.tensor..].iter().step_by(map.step))
                    {
                        *x = *y;
                    }
                }
            }
        }
    }
    packed[end..end + MAX_LANES].fill(0.0);
    if lanes > 1 {
        // SAFETY: the lengths were checked above.
        unsafe { pack_lanes::<S>(map, channels, images, tensor, packed) }
        if images < lanes {
            for place in packed[..end].chunks_exact_mut(lanes) {
                place[images..].fill(0.0);
            }
        }
    }
}

/// Transposes squares of pixels by images. Lanes beyond `images` repeat the last image.
#[inline(always)]
unsafe fn pack_lanes<S: Simd>(
    map: &PlaneMap,
    channels: usize,
    images: usize,
    tensor: &[f32],
    packed: &mut [f32],
) {
    let image_len = channels * map.pixels;
    let dump = channels * map.places * S::LANES + MAX_LANES;
    let mut rows = [tensor.as_ptr(); MAX_LANES];
    let mut columns = [packed.as_mut_ptr(); MAX_LANES];
    for channel in 0..channels {
        let base = channel * map.places;
        let mut pixel = 0;
        while pixel < map.pixels {
            if map.pixels < S::LANES {
                // Fewer pixels than a square is wide.
                if map.place_of[pixel] != UNUSED {
                    for lane in 0..S::LANES {
                        let value =
                            tensor[lane.min(images - 1) * image_len + channel * map.pixels + pixel];
                        packed[(base + map.place_of[pixel] as usize) * S::LANES + lane] = value;
                    }
                }
                pixel += 1;
                continue;
            }
            // The last square overlaps the one before.
            let first = pixel.min(map.pixels - S::LANES);
            for (lane, row) in rows.iter_mut().enumerate().take(S::LANES) {
                *row = tensor[lane.min(images - 1) * image_len + channel * map.pixels + first..]
                    [..S::LANES]
                    .as_ptr();
            }
            for (column, &place) in columns
                .iter_mut()
                .zip(&map.place_of[first..first + S::LANES])
            {
                let at = if place == UNUSED {
                    dump
                } else {
                    (base + place as usize) * S::LANES
                };
                *column = packed[at..][..S::LANES].as_mut_ptr();
            }
            // SAFETY: each pointer comes from a slice of `S::LANES` elements; the caller guarantees the instructions.
            unsafe { S::transpose(&rows, &columns) }
            pixel += S::LANES;
        }
    }
}

/// The inverse of [`pack`]: packed planes into `images` consecutive images. `packed` needs no slack.
///
/// # Safety
/// The machine has the instructions of `S`.
#[inline(always)]
pub(crate) unsafe fn unpack<S: Simd>(
    map: &PlaneMap,
    channels: usize,
    lanes: usize,
    images: usize,
    packed: &[f32],
    tensor: &mut [f32],
) {
    assert!(
        tensor.len() == images * channels * map.pixels
            && packed.len() >= channels * map.places * lanes
    );
    assert!(images <= lanes && (lanes == 1 || lanes == S::LANES));
    if lanes == 1 {
        for channel in 0..channels {
            let plane = &mut tensor[channel * map.pixels..][..map.pixels];
            let source = &packed[channel * map.places..][..map.places];
            for segment in &map.segments {
                let source = &source[segment.packed..][..segment.len];
                if map.step == 1 {
                    // SAFETY: the caller guarantees the instructions.
                    unsafe { copy_row::<S>(source, &mut plane[segment.tensor..][..segment.len]) }
                } else {
                    for (x, y) in plane[segment.tensor..]
                        .iter_mut()
                        .step_by(map.step)
                        .zip(source)
                    {
                        *x = *y;
                    }
                }
            }
        }
    } else {
        // SAFETY: the lengths were checked above.
        unsafe { unpack_lanes::<S>(map, channels, images, packed, tensor) }
    }
}

#[inline(always)]
unsafe fn unpack_lanes<S: Simd>(
    map: &PlaneMap,
    channels: usize,
    images: usize,
    packed: &[f32],
    tensor: &mut [f32],
) {
    let image_len = channels * map.pixels;
    let mut dump = [0.0; MAX_LANES];
    let mut places = [packed.as_ptr(); MAX_LANES];
    let mut pixels = [dump.as_mut_ptr(); MAX_LANES];
    for channel in 0..channels {
        let base = channel * map.places;
        let mut pixel = 0;
        while pixel < map.pixels {
            if map.pixels < S::LANES {
                for image in 0..images {
                    let value = packed[(base + map.place_of[pixel] as usize) * S::LANES + image];
                    tensor[image * image_len + channel * map.pixels + pixel] = value;
                }
                pixel += 1;
                continue;
            }
            let first = pixel.min(map.pixels - S::LANES);
            for (from, &place) in places
                .iter_mut()
                .zip(&map.place_of[first..first + S::LANES])
            {
                *from = packed[(base + place as usize) * S::LANES..][..S::LANES].as_ptr();
            }
            for (image, to) in pixels.iter_mut().enumerate().take(images) {
                *to = tensor[image * image_len + channel * map.pixels + first..][..S::LANES]
                    .as_mut_ptr();
            }
            // SAFETY: each pointer comes from a slice of `S::LANES` elements or is the dump of `MAX_LANES`; the caller
            // guarantees the instructions.
            unsafe { S::transpose(&places, &pixels) }
            pixel += S::LANES;
        }
    }
}

/// Copies a row by vectors, the last one overlapping; rows are too short to be worth a call of memcpy.
///
/// # Safety
/// The machine has the instructions of `S`.
#[inline(always)]
unsafe fn copy_row<S: Simd>(from: &[f32], to: &mut [f32]) {
    assert_eq!(from.len(), to.len());
    let len = to.len();
    if len < S::LANES {
        for (x, y) in to.iter_mut().zip(from) {
            *x = *y;
        }
        return;
    }
    let last = len - S::LANES;
    let mut at = 0;
    // SAFETY: `last + S::LANES` is the length of both, and `at` stays below `last` within the loop.
    unsafe {
        while at < last {
            S::store(to.as_mut_ptr().add(at), S::load(from.as_ptr().add(at)));
            at += S::LANES;
        }
        S::store(to.as_mut_ptr().add(last), S::load(from.as_ptr().add(last)));
    }
}
