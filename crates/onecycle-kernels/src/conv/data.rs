//! Forward pass and gradient of the input: choice of the algorithm, and division of the batch.
//!
//! The batch is divided into groups of images that fit into the cache, which threads share. The
//! group size depends on the shape alone. ReLU and ReLU6 are applied in registers. GELU takes more instructions
//! than would fit into each of the many register tiles, so it is applied to a group that is still in
//! cache.

use super::Epilogue;
use super::direct::DirectConv;
use super::geometry::Geometry;
use super::winograd::{self, WinogradConv};
use crate::activation::Activation;
use crate::channels::Pixels;
use crate::elementwise::gelu_in_place;
use crate::kernels::Kernels;
use crate::norm::{Moments, Statistics, add_moments};
use crate::parallel::{for_chunk_pairs, for_chunks};

/// Most bytes of a group's output that another pass over it should find in the second-level cache.
const OUTPUT_BYTES: usize = 192 << 10;

/// Inputs of [`run`].
#[derive(Clone, Copy)]
pub(crate) struct DataArguments<'a> {
    /// All source images.
    pub source: &'a [f32],
    /// In the order of the tensor.
    pub weights: &'a [f32],
    pub epilogue: Epilogue<'a>,
}

/// Computes all output images.
pub(crate) fn run(
    kernels: &Kernels,
    geometry: &Geometry,
    arguments: DataArguments,
    output: &mut [f32],
) {
    let gelu = arguments.epilogue.activation == Activation::Gelu;
    let groups = Groups::new(kernels, geometry, arguments);
    let groups = if gelu { groups.in_cache() } else { groups };
    for_chunks(output, groups.chunk(), |index, output| {
        groups.compute(index, output);
        if gelu {
            gelu_in_place(kernels.isa, output);
        }
    });
}

/// Computes all output images, and their statistics while each group is in cache.
pub(crate) fn run_with_statistics(
    kernels: &Kernels,
    geometry: &Geometry,
    arguments: DataArguments,
    output: &mut [f32],
) -> Statistics {
    let channels = geometry.out_channels;
    let groups = Groups::new(kernels, geometry, arguments);
    let pixels = Pixels {
        count: output.len() / channels,
        channels,
    };
    let mut moments = Moments::new(&pixels, groups.chunk());
    for_chunk_pairs(
        (output, &mut moments.partial),
        [groups.chunk(), 2 * channels],
        |index, output, moments| {
            groups.compute(index, output);
            add_moments(kernels.isa, channels, output, moments);
        },
    );
    moments.total()
}

/// The batch in groups of images, with the weights packed for the algorithm.
pub(super) struct Groups<'a> {
    geometry: &'a Geometry,
    source: &'a [f32],
    algorithm: Algorithm<'a>,
    /// Images per group; the last group may be smaller.
    images: usize,
}

enum Algorithm<'a> {
    Direct(DirectConv<'a>),
    Winograd(WinogradConv<'a>),
}

impl<'a> Groups<'a> {
    pub(super) fn new(
        kernels: &'a Kernels,
        geometry: &'a Geometry,
        arguments: DataArguments<'a>,
    ) -> Self {
        let DataArguments {
            source,
            weights,
            epilogue,
        } = arguments;
        let (algorithm, images) = if winograd::applies_to_data(kernels.isa, geometry) {
            let conv = WinogradConv::new(kernels, geometry, weights, epilogue);
            let images = conv.group();
            (Algorithm::Winograd(conv), images)
        } else {
            let conv = DirectConv::new(kernels, geometry, weights, epilogue);
            let images = conv.group();
            (Algorithm::Direct(conv), images)
        };
        Groups {
            geometry,
            source,
            algorithm,
            images,
        }
    }

    /// Smaller groups if needed, so that the output of a group stays in the second-level cache.
    pub(super) fn in_cache(self) -> Self {
        let images = match self.algorithm {
            Algorithm::Direct(_) => {
                let image = self.geometry.output_image() * size_of::<f32>();
                self.images.min((OUTPUT_BYTES / image).max(1))
            }
            // The groups of Winograd's algorithm are small, and with fewer tiles it is slower.
            Algorithm::Winograd(_) => self.images,
        };
        Groups { images, ..self }
    }

    /// Floats of a group's output.
    pub(super) fn chunk(&self) -> usize {
        self.images * self.geometry.output_image()
    }

    /// Computes group `index`. GELU is left to the caller.
    pub(super) fn compute(&self, index: usize, output: &mut [f32]) {
        let image = self.geometry.source_image();
        let images = output.len() / self.geometry.output_image();
        let rest = &self.source[index * self.images * image..];
        let (source, rest) = rest.split_at(images * image);
        match &self.algorithm {
            Algorithm::Direct(conv) => conv.run(source, output),
            Algorithm::Winograd(conv) => {
                let next = &rest[..rest.len().min(source.len())];
                conv.run(source, output, [next, &[], &[]]);
            }
        }
    }
}
