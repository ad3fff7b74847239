//! Reads the files of Fashion-MNIST in `data/fashion-mnist`.

use std::{error::Error, fs::File, io::Read, path::Path};

use candle_core::{Device, Tensor};
use flate2::read::GzDecoder;

/// Pixels per image.
pub const PIXELS: usize = 28 * 28;
/// Number of classes.
pub const CLASSES: usize = 10;

/// Images with their labels.
pub struct Images {
    /// `[images, pixels]`, normalised by mean and standard deviation of the training set.
    pub pixels: Tensor,
    /// `[images]`, from 0 to 9.
    pub labels: Tensor,
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.elem_count()
    }

    /// The batch of update `step`. The files are in random order, so every epoch uses that order;
    /// an incomplete batch at the end of an epoch is dropped.
    pub fn batch(&self, step: usize, size: usize) -> candle_core::Result<Images> {
        let first = step % (self.len() / size) * size;
        Ok(Images {
            pixels: self.pixels.narrow(0, first, size)?,
            labels: self.labels.narrow(0, first, size)?,
        })
    }
}

/// Reads the images and labels whose files start with `part`: `train` or `t10k`.
///
/// # Errors
/// Returns an error if a file cannot be read.
pub fn read(part: &str, device: &Device) -> Result<Images, Box<dyn Error>> {
    let pixels = unpack(&format!("{part}-images-idx3-ubyte.gz"), 16)?;
    let labels = unpack(&format!("{part}-labels-idx1-ubyte.gz"), 8)?;
    let count = labels.len();
    let pixels: Vec<f32> = pixels
        .iter()
        .map(|pixel| (f32::from(*pixel) / 255.0 - 0.286) / 0.353)
        .collect();
    let labels: Vec<u32> = labels.into_iter().map(u32::from).collect();
    Ok(Images {
        pixels: Tensor::from_vec(pixels, (count, PIXELS), device)?,
        labels: Tensor::from_vec(labels, count, device)?,
    })
}

/// The bytes of a gzipped IDX file after its header.
fn unpack(name: &str, header: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/fashion-mnist");
    let path = Path::new(folder).join(name);
    let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes)?;
    Ok(bytes.split_off(header.min(bytes.len())))
}
