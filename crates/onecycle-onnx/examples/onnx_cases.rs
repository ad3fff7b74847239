//! Writes every network as an ONNX file, with images and the logits that onecycle computes for them.
//! `scripts/check_onnx.sh` compares other programs with these.
//!
//! ```sh
//! cargo run --example onnx_cases -- FOLDER
//! ```
//!
//! For each network and image shape it writes `NAME.onnx`, `NAME.images` (bytes `[batch, height,
//! width, channels]`) and `NAME.logits` (little-endian float32 `[batch, classes]`).

use std::{env, error::Error, fs, path::Path};

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData},
};
use onecycle_burn::state::{self, TensorMap};
use onecycle_onnx::{Description, classifier};
use onecycle_vision::{
    ImageShape, Statistics,
    models::{Architecture, Model},
    random::{self, Rng},
};

/// Images per case.
const BATCH: usize = 8;
/// Batches from which batch norms gather statistics: enough that those of the start have a weight
/// of 0.9³⁰, 4 %.
const CALIBRATION: usize = 30;
const CLASSES: usize = 10;
/// Grey, colour, and sides that differ and do not halve evenly. The last is large enough for the
/// networks.
const SHAPES: [ImageShape; 4] = [
    ImageShape::new(1, 28, 28),
    ImageShape::new(3, 32, 32),
    ImageShape::new(3, 21, 38),
    ImageShape::new(3, 67, 50),
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("usage: onnx_cases FOLDER")?;
    fs::create_dir_all(&folder)?;
    for name in Architecture::names() {
        let least = name.parse::<Architecture>()?.min_side();
        for shape in SHAPES
            .into_iter()
            .filter(|shape| shape.height.min(shape.width) >= least)
        {
            write_case(Path::new(&folder), name, shape)?;
        }
    }
    Ok(())
}

fn write_case(folder: &Path, name: &str, shape: ImageShape) -> Result<(), Box<dyn Error>> {
    let mut rng = random::stream(1, name, shape.len() as u64);
    let description = Description {
        architecture: name.parse()?,
        shape,
        classes: (0..CLASSES).map(|class| format!("class {class}")).collect(),
        statistics: Statistics {
            mean: [0.491, 0.482, 0.447][..shape.channels].to_vec(),
            std: [0.247, 0.243, 0.262][..shape.channels].to_vec(),
        },
        metadata: Vec::new(),
    };
    let tables = description.statistics.tables(shape)?;
    let mut images = || -> Vec<u8> {
        let values = 0..BATCH * shape.len();
        values.map(|_| (rng.next_u64() >> 56) as u8).collect()
    };

    let device = Device::flex().autodiff();
    let mut start = random::stream(1, "initialisation", 0);
    let model = Model::new(
        description.architecture,
        shape,
        CLASSES,
        &mut start,
        &device,
    )?;
    let weights = with_random_norms(state::weights(&model));
    let model = state::load_weights(model, weights)?;
    // Batch norms keep running statistics while they train. Without gradients, because Burn would keep
    // each pass in memory until a backward pass.
    let model = model.no_grad();
    for _ in 0..CALIBRATION {
        model.forward(normalised(&images(), &tables, shape, &device));
    }
    let model = model.valid();

    let images = images();
    let plain = Device::flex();
    let logits = model.forward(normalised(&images, &tables, shape, &plain));
    let logits: Vec<f32> = logits.into_data().iter().collect();
    let onnx = classifier(&description, state::weights(&model))?.to_bytes()?;
    let ImageShape {
        channels,
        height,
        width,
    } = shape;
    let stem = format!("{name}-{channels}x{height}x{width}");
    let write = |ending: &str, bytes: &[u8]| fs::write(folder.join(stem.clone() + ending), bytes);
    write(".onnx", &onnx)?;
    write(".images", &images)?;
    let bytes: Vec<u8> = logits
        .iter()
        .flat_map(|logit| logit.to_le_bytes())
        .collect();
    write(".logits", &bytes)?;
    let largest = logits
        .iter()
        .fold(0.0, |most: f32, logit| most.max(logit.abs()));
    println!("{stem}: largest logit {largest:.3}");
    Ok(())
}

/// Replaces scales and shifts of batch norms, which start at 1 and 0, by random ones.
fn with_random_norms(mut weights: TensorMap) -> TensorMap {
    let mut rng = random::stream(2, "batch norm", 0);
    let mut uniform = |from: f32, to: f32| from + (to - from) * random::unit(&mut rng) as f32;
    let norms: Vec<String> = weights
        .keys()
        .filter_map(|name| Some(name.strip_suffix("running_mean")?.to_owned()))
        .collect();
    for norm in norms {
        for (part, from, to) in [("weight", 0.5, 1.5), ("bias", -0.5, 0.5)] {
            if let Some(data) = weights.get_mut(&(norm.clone() + part)) {
                let shape = data.shape().to_vec();
                let count = data.num_elements();
                let values: Vec<f32> = (0..count).map(|_| uniform(from, to)).collect();
                *data = TensorData::new(values, shape);
            }
        }
    }
    weights
}

/// Bytes `[batch, height, width, channels]` as the tensor that the network takes.
fn normalised(
    images: &[u8],
    tables: &[[f32; 256]],
    shape: ImageShape,
    device: &Device,
) -> Tensor<4> {
    let mut values = Vec::with_capacity(images.len());
    for image in images.chunks_exact(shape.len()) {
        for (channel, table) in tables.iter().enumerate() {
            let pixels = image.iter().skip(channel).step_by(shape.channels);
            values.extend(pixels.map(|pixel| table[usize::from(*pixel)]));
        }
    }
    let sizes = [BATCH, shape.channels, shape.height, shape.width];
    Tensor::from_data(TensorData::new(values, sizes), device)
}
