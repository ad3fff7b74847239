//! Where the pixels of a plane stand in packed memory.
//!
//! A packed plane is the zero-padded plane as one long line, so that a window position is a fixed distance from the
//! pixel and vectors run across the ends of rows; what they compute between two rows is dropped. Where the left padding
//! of a row and the right padding of the one before are both zeros they share their memory. For a stride `s` the plane
//! falls apart into `s x s` phases (every `s`-th row and column), each a plane with stride 1.

/// A run of pixels of one row: contiguous in packed memory, `PlaneMap::step` apart in the tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// First pixel in the tensor's plane.
    pub tensor: usize,
    /// Its place in the packed plane.
    pub packed: usize,
    /// Pixels.
    pub len: usize,
}

/// The correspondence of a tensor's plane and a packed plane.
#[derive(Clone, Debug)]
pub(crate) struct PlaneMap {
    /// Pixels of the tensor's plane.
    pub pixels: usize,
    /// Places of the packed plane, all phases.
    pub places: usize,
    /// Distance in the tensor between neighbours of a segment.
    pub step: usize,
    pub segments: Vec<Segment>,
    /// Runs (start, length) of places that no pixel fills.
    pub gaps: Vec<(usize, usize)>,
    /// For each pixel its place, or `UNUSED`.
    pub place_of: Vec<u32>,
}

/// A pixel that no window covers.
pub(crate) const UNUSED: u32 = u32::MAX;

/// One axis of one phase: packed index `i` is pixel `i * step + start`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub step: usize,
    pub start: isize,
    /// Packed indices that are addressed.
    pub count: usize,
}

impl Axis {
    /// The packed indices `[from, to)` that are pixels of an axis of `size`.
    pub(crate) fn valid(self, size: usize) -> (usize, usize) {
        let (step, size) = (self.step as isize, size as isize);
        let up = |x: isize| x.max(0).unsigned_abs().div_ceil(self.step);
        let from = up(-self.start).min(self.count);
        let to = up(size - self.start).min(self.count);
        debug_assert!(from >= to || (to as isize - 1) * step + self.start < size);
        (from, to.max(from))
    }
}

/// Columns at the end of a row that may share their memory with the start of the next: zeros in both, in all phases.
pub(crate) fn shared_columns(axes: &[Axis], width: usize) -> usize {
    axes.iter()
        .map(|axis| {
            let (from, to) = axis.valid(width);
            from.min(axis.count - to)
        })
        .min()
        .unwrap_or(0)
}

impl PlaneMap {
    /// A map of the phases `rows x columns` (row phases outermost), each a block of `phase_len` places with rows `pitch`
    /// apart.
    pub(crate) fn new(
        size: [usize; 2],
        rows: &[Axis],
        columns: &[Axis],
        pitch: usize,
        phase_len: usize,
    ) -> PlaneMap {
        let [height, width] = size;
        let pixels = height * width;
        let places = rows.len() * columns.len() * phase_len;
        let mut segments = Vec::new();
        let mut place_of = vec![UNUSED; pixels];
        let mut filled = vec![false; places];
        for (a, row) in rows.iter().enumerate() {
            for (b, column) in columns.iter().enumerate() {
                let base = (a * columns.len() + b) * phase_len;
                let (top, bottom) = row.valid(height);
                let (left, right) = column.valid(width);
                if left == right {
                    continue;
                }
                for i in top..bottom {
                    let y = (i * row.step).wrapping_add_signed(row.start);
                    let x = (left * column.step).wrapping_add_signed(column.start);
                    let segment = Segment {
                        tensor: y * width + x,
                        packed: base + i * pitch + left,
                        len: right - left,
                    };
                    for k in 0..segment.len {
                        place_of[segment.tensor + k * column.step] = (segment.packed + k) as u32;
                        filled[segment.packed + k] = true;
                    }
                    segments.push(segment);
                }
            }
        }
        let mut gaps: Vec<(usize, usize)> = Vec::new();
        for place in (0..places).filter(|&place| !filled[place]) {
            match gaps.last_mut() {
                Some((start, len)) if *start + *len == place => *len += 1,
                _ => gaps.push((place, 1)),
            }
        }
        let step = columns.first().map_or(1, |axis| axis.step);
        PlaneMap {
            pixels,
            places,
            step,
            segments,
            gaps,
            place_of,
        }
    }
}
