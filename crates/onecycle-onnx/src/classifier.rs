//! A classifier as an ONNX model: preprocessing, network, softmax, metadata.

use onecycle_burn::state::TensorMap;
use onecycle_vision::{ImageShape, Statistics, models::Architecture};
use serde_json::Value as Json;

use crate::{
    OnnxError,
    graph::{Attribute, ElementType, OnnxModel, Port},
    layers::{Layers, Value},
    networks,
};

/// Name of the input: bytes `[batch, height, width, channels]`.
pub const IMAGES: &str = "images";
/// Name of the output before softmax: `[batch, classes]`.
pub const LOGITS: &str = "logits";
/// Name of the output after softmax: `[batch, classes]`.
pub const PROBABILITIES: &str = "probabilities";

/// Value of `TensorProto.DataType` for float32, as the attribute of `Cast`.
const FLOAT32: i64 = ElementType::Float32 as i64;

/// Everything about a classifier except its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The network.
    pub architecture: Architecture,
    /// Shape of its images.
    pub shape: ImageShape,
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// Normalisation of the images. A channel with standard deviation 0 is only shifted.
    pub statistics: Statistics,
    /// More metadata, as keys and values.
    pub metadata: Vec<(String, String)>,
}

/// Builds the ONNX model of a classifier.
///
/// Its input [`IMAGES`] are pixels from 0 to 255 as bytes, `[batch, height, width, channels]`, for
/// any number of images. Normalisation is part of the graph. The outputs are [`LOGITS`] and
/// [`PROBABILITIES`], float32 `[batch, classes]`. Batch norms are folded into the convolutions
/// before them, computed in f64.
///
/// Metadata: `model`, `classes` (JSON list in the order of the outputs), `channels`, `image_size`
/// (`[height, width]`), `mean` and `std` (JSON lists, in units of 0 to 1), then those of
/// [`Description::metadata`].
///
/// `weights` has all tensors of the network by the paths of
/// [`state::weights`](onecycle_burn::state::weights).
///
/// # Errors
/// - [`OnnxError::MissingTensor`], [`OnnxError::UnexpectedTensor`], [`OnnxError::Shape`],
///   [`OnnxError::Classes`] if `weights` are not those of this network.
/// - [`OnnxError::NotFinite`] if a weight is NaN or infinite.
/// - [`OnnxError::ImageTooSmall`] if the network would pool the image away.
/// - [`OnnxError::Statistics`] if they do not fit the channels of the images.
pub fn classifier(description: &Description, weights: TensorMap) -> Result<OnnxModel, OnnxError> {
    let Description {
        architecture,
        shape,
        classes,
        ..
    } = description;
    let mut layers = Layers::new(weights);
    let images = normalised(&mut layers, description)?;
    let logits = networks::network(&mut layers, *architecture, images)?;
    if logits.shape != [classes.len()] {
        return Err(OnnxError::Classes {
            outputs: logits.shape.iter().product(),
            classes: classes.len(),
        });
    }
    let logits = layers.rename(logits, LOGITS);
    let last_axis = [("axis", Attribute::Int(-1))];
    let outputs = vec![classes.len()];
    layers.node(
        PROBABILITIES,
        "Softmax",
        vec![logits.name],
        &last_axis,
        outputs,
    );
    let port = |name, doc: &str| Port {
        name,
        element: ElementType::Float32,
        shape: vec![classes.len()],
        doc: doc.to_owned(),
    };
    let pixel = match shape.channels {
        1 => "grey values",
        _ => "red, green and blue",
    };
    Ok(OnnxModel {
        name: architecture.to_string(),
        doc: format!(
            "Classifies images of {} x {} pixels (height x width) into {} classes. Their names are \
             in the metadata under `classes`.",
            shape.height,
            shape.width,
            classes.len()
        ),
        graph: layers.finish()?,
        input: Port {
            name: IMAGES,
            element: ElementType::Uint8,
            shape: vec![shape.height, shape.width, shape.channels],
            doc: format!("Pixels, {pixel} from 0 to 255, rows from top to bottom."),
        },
        outputs: vec![
            port(LOGITS, "One number per class before softmax."),
            port(PROBABILITIES, "Softmax of the logits: they add up to 1."),
        ],
        metadata: metadata(description),
    })
}

/// Adds the preprocessing: `(pixel / 255 - mean) / std` per channel, `[channels, height, width]`.
fn normalised(layers: &mut Layers, description: &Description) -> Result<Value, OnnxError> {
    let Description {
        shape, statistics, ..
    } = description;
    // The tables are not used here; making them checks the statistics.
    let tables = statistics.tables(*shape);
    tables.map_err(|error| OnnxError::Statistics {
        why: error.to_string(),
    })?;
    let ImageShape {
        channels,
        height,
        width,
    } = *shape;
    let input = vec![IMAGES.to_owned()];
    let to_float = [("to", Attribute::Int(FLOAT32))];
    let x = layers.node(
        "pixels",
        "Cast",
        input,
        &to_float,
        vec![height, width, channels],
    );
    let channels_first = [("perm", Attribute::Ints(vec![0, 3, 1, 2]))];
    let x = layers.node(
        "channels_first",
        "Transpose",
        vec![x.name],
        &channels_first,
        vec![channels, height, width],
    );
    // In units of 0 to 255, so that the pixels need no division of their own.
    let scaled = |value: f32| 255.0 * f64::from(value);
    let mean: Vec<f64> = statistics.mean.iter().map(|mean| scaled(*mean)).collect();
    let deviation = |std: f32| scaled(if std > 0.0 { std } else { 1.0 });
    let std: Vec<f64> = statistics.std.iter().map(|std| deviation(*std)).collect();
    let per_channel = || vec![channels, 1, 1];
    let x = layers.with_constants("centred", "Sub", x, per_channel(), &mean)?;
    layers.with_constants("normalised", "Div", x, per_channel(), &std)
}

fn metadata(description: &Description) -> Vec<(String, String)> {
    let Description {
        architecture,
        shape,
        classes,
        statistics,
        metadata,
    } = description;
    let own = [
        ("model", architecture.to_string()),
        ("classes", Json::from(classes.clone()).to_string()),
        ("channels", shape.channels.to_string()),
        ("image_size", format!("{:?}", [shape.height, shape.width])),
        // As JSON: finite numbers are written alike.
        ("mean", format!("{:?}", statistics.mean)),
        ("std", format!("{:?}", statistics.std)),
    ];
    let own = own.map(|(key, value)| (key.to_owned(), value));
    own.into_iter().chain(metadata.iter().cloned()).collect()
}
