//! Image classification with [tract](https://docs.rs/tract-onnx) and a file of `onecycle export`.

use std::path::Path;

use image::{DynamicImage, RgbImage, imageops};
use tract_onnx::prelude::*;

/// A network that is ready to run.
pub struct Classifier {
    /// Class names in the order of the outputs.
    pub classes: Vec<String>,
    channels: usize,
    height: u32,
    width: u32,
    resize: String,
    background: [u8; 3],
    network: std::sync::Arc<TypedRunnableModel>,
}

/// Outputs for several images, one row per image and one column per class.
pub struct Outputs {
    /// Before softmax.
    pub logits: Vec<Vec<f32>>,
    /// After softmax.
    pub probabilities: Vec<Vec<f32>>,
}

impl Classifier {
    /// Loads a file.
    pub fn open(path: &Path) -> TractResult<Self> {
        let file = tract_onnx::onnx().proto_model_for_path(path)?;
        let text = |key: &str| -> TractResult<String> {
            let mut entries = file.metadata_props.iter();
            let entry = entries.find(|entry| entry.key == key);
            let missing = || TractError::msg(format!("{} has no {key}", path.display()));
            let entry = entry.ok_or_else(missing)?;
            Ok(entry.value.clone())
        };
        let [height, width] = serde_json::from_str(&text("image_size")?)?;
        let network = tract_onnx::onnx().model_for_path(path)?;
        Ok(Classifier {
            classes: serde_json::from_str(&text("classes")?)?,
            channels: text("channels")?.parse()?,
            height,
            width,
            resize: text("resize").unwrap_or_else(|_| "crop".to_owned()),
            background: match text("background") {
                Ok(colour) => serde_json::from_str(&colour)?,
                Err(_) => [255; 3],
            },
            network: network.into_optimized()?.into_runnable()?,
        })
    }

    /// Bytes of one image: `[height, width, channels]`.
    pub fn image_len(&self) -> usize {
        self.height as usize * self.width as usize * self.channels
    }

    /// Makes an upright image as the network takes it, like `onecycle predict`.
    pub fn pixels(&self, image: DynamicImage) -> Vec<u8> {
        let image = over(image, self.background);
        let (width, height) = (self.width, self.height);
        let image = match self.resize.as_str() {
            "squish" => scale(&image, width, height),
            "pad" => {
                let (w, h) = (f64::from(image.width()), f64::from(image.height()));
                let share = (f64::from(width) / w).min(f64::from(height) / h);
                let side = |side: f64, most| ((side * share).round() as u32).clamp(1, most);
                let inner = scale(&image, side(w, width), side(h, height));
                let mut padded = RgbImage::from_pixel(width, height, image::Rgb(self.background));
                let left = (width - inner.width()) / 2;
                let top = (height - inner.height()) / 2;
                imageops::replace(&mut padded, &inner, left.into(), top.into());
                padded
            }
            _ => {
                let (w, h) = image.dimensions();
                let part = |side: u32, other: u32, ratio: [u32; 2]| {
                    let most = u64::from(other) * u64::from(ratio[0]) / u64::from(ratio[1]);
                    side.min(most.max(1) as u32)
                };
                let (inner_w, inner_h) = (part(w, h, [width, height]), part(h, w, [height, width]));
                let (left, top) = ((w - inner_w) / 2, (h - inner_h) / 2);
                let inner = imageops::crop_imm(&image, left, top, inner_w, inner_h);
                scale(&inner.to_image(), width, height)
            }
        };
        if self.channels == 3 {
            return image.into_raw();
        }
        let grey = |[r, g, b]: [u8; 3]| {
            let sum = 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
            ((sum + 500) / 1000) as u8
        };
        image.pixels().map(|pixel| grey(pixel.0)).collect()
    }

    /// Classifies images: `count` times `[height, width, channels]` bytes.
    pub fn run(&self, pixels: &[u8]) -> TractResult<Outputs> {
        let count = pixels.len() / self.image_len();
        let shape = [
            count,
            self.height as usize,
            self.width as usize,
            self.channels,
        ];
        let images = Tensor::from_shape(&shape, pixels)?;
        let outputs = self.network.run(tvec![images.into()])?;
        let rows = |output: usize| -> TractResult<Vec<Vec<f32>>> {
            let view = outputs[output].to_plain_array_view::<f32>()?;
            let values: Vec<f32> = view.iter().copied().collect();
            let rows = values.chunks(self.classes.len());
            Ok(rows.map(<[f32]>::to_vec).collect())
        };
        Ok(Outputs {
            logits: rows(0)?,
            probabilities: rows(1)?,
        })
    }
}

/// Places transparent pixels over the background.
fn over(image: DynamicImage, background: [u8; 3]) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    let blend = |value: u8, behind: u8, alpha: u8| {
        let (value, behind, alpha) = (u32::from(value), u32::from(behind), u32::from(alpha));
        ((value * alpha + behind * (255 - alpha) + 127) / 255) as u8
    };
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0;
        let colour = [r, g, b];
        image::Rgb(std::array::from_fn(|i| {
            blend(colour[i], background[i], alpha)
        }))
    })
}

fn scale(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    imageops::resize(image, width, height, imageops::FilterType::Triangle)
}
