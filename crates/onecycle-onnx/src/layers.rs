//! The layers of [`onecycle_burn::nn`] as operations of a graph, one method per layer.
//!
//! A method takes the layer's tensors out of the weights by their names, so that tensors which no
//! layer uses are found at the end.

use onecycle_burn::{nn::NormShape, state::TensorMap};

use crate::{
    OnnxError,
    graph::{Attribute, Constant, Graph, Node},
};

/// The result of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Value {
    pub(crate) name: String,
    /// `[channels, height, width]` or `[features]`, without the batch.
    pub(crate) shape: Vec<usize>,
}

/// Stride, padding and groups of a convolution, or stride and padding of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) stride: usize,
    /// Rows and columns on each side: zeros of a convolution, ignored by a pool.
    pub(crate) padding: usize,
    /// Groups of channels of a convolution.
    pub(crate) groups: usize,
}

impl Window {
    /// Stride 1 and the padding that preserves height and width.
    pub(crate) fn same(kernel: usize) -> Self {
        Window {
            stride: 1,
            padding: kernel / 2,
            groups: 1,
        }
    }

    /// Stride 1 without padding.
    pub(crate) fn valid() -> Self {
        Window {
            stride: 1,
            padding: 0,
            groups: 1,
        }
    }

    /// Replaces the stride.
    pub(crate) fn with_stride(self, stride: usize) -> Self {
        Window { stride, ..self }
    }

    /// One window per channel.
    pub(crate) fn depthwise(self, channels: usize) -> Self {
        Window {
            groups: channels,
            ..self
        }
    }
}

/// A tensor of the weights.
struct Tensor {
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// A graph that is being built from weights.
#[derive(Debug)]
pub(crate) struct Layers {
    graph: Graph,
    /// Tensors that no layer has used yet.
    weights: TensorMap,
    /// Added to the variance by the batch norms.
    pub(crate) epsilon: f64,
    /// Whether convolutions have TensorFlow's padding `SAME` instead of their own: as many rows and
    /// columns as `side / stride` outputs need, rounded up, one more behind if the number is odd.
    pub(crate) same_upper: bool,
}

impl Layers {
    /// An empty graph.
    pub(crate) fn new(weights: TensorMap) -> Self {
        Layers {
            graph: Graph::default(),
            weights,
            epsilon: NormShape::EPSILON,
            same_upper: false,
        }
    }

    /// The finished graph.
    pub(crate) fn finish(mut self) -> Result<Graph, OnnxError> {
        match self.weights.pop_first() {
            Some((name, _)) => Err(OnnxError::UnexpectedTensor { name }),
            None => Ok(self.graph),
        }
    }

    /// Convolution with a bias if the weights have one.
    pub(crate) fn conv(
        &mut self,
        name: &str,
        window: Window,
        x: Value,
    ) -> Result<Value, OnnxError> {
        let weight = self.kernel(name, window, &x)?;
        let bias = self.optional_vector(&format!("{name}.bias"), weight.shape[0])?;
        self.push_conv(name, window, weight, bias, x)
    }

    /// Convolution and the batch norm after it as a single convolution. Normalising by fixed
    /// statistics scales and shifts each channel; weights and bias take this over. They are
    /// computed in f64 and rounded once.
    pub(crate) fn conv_norm(
        &mut self,
        conv: &str,
        norm: &str,
        window: Window,
        x: Value,
    ) -> Result<Value, OnnxError> {
        let mut weight = self.kernel(conv, window, &x)?;
        let channels = weight.shape[0];
        let bias = self.optional_vector(&format!("{conv}.bias"), channels)?;
        let mut vector = |part: &str| self.vector(&format!("{norm}.{part}"), channels);
        let (gamma, beta) = (vector("weight")?, vector("bias")?);
        let (mean, variance) = (vector("running_mean")?, vector("running_var")?);
        let mut bias = bias.unwrap_or_else(|| vec![0.0; channels]);
        let per_channel = weight.values.len() / channels.max(1);
        for channel in 0..channels {
            let scale = gamma[channel] / (variance[channel] + self.epsilon).sqrt();
            let from = channel * per_channel;
            for value in &mut weight.values[from..from + per_channel] {
                *value *= scale;
            }
            bias[channel] = (bias[channel] - mean[channel]) * scale + beta[channel];
        }
        self.push_conv(conv, window, weight, Some(bias), x)
    }

    /// `x weightᵀ + bias`, without the bias if the weights have none.
    pub(crate) fn linear(&mut self, name: &str, x: Value) -> Result<Value, OnnxError> {
        let features: usize = x.shape.iter().product();
        let weight_name = format!("{name}.weight");
        let weight = self.take(&weight_name)?;
        let &[out, found] = &weight.shape[..] else {
            return Err(shape_error(weight_name, weight.shape, "two dimensions"));
        };
        if found != features {
            let expected = format!("[{out}, {features}]");
            return Err(shape_error(weight_name, weight.shape, expected));
        }
        let bias = self.optional_vector(&format!("{name}.bias"), out)?;
        let mut inputs = vec![x.name];
        inputs.push(self.constant(&weight_name, weight.shape, &weight.values)?);
        if let Some(bias) = bias {
            inputs.push(self.constant(&format!("{name}.bias"), vec![out], &bias)?);
        }
        let transposed = [("transB", Attribute::Int(1))];
        Ok(self.node(name, "Gemm", inputs, &transposed, vec![out]))
    }

    /// `max(x, 0)`.
    pub(crate) fn relu(&mut self, x: Value) -> Value {
        let name = format!("{}.relu", x.name);
        self.node(&name, "Relu", vec![x.name], &[], x.shape)
    }

    /// `min(max(x, 0), 6)`.
    pub(crate) fn relu6(&mut self, x: Value) -> Result<Value, OnnxError> {
        let name = format!("{}.relu6", x.name);
        let mut inputs = vec![x.name];
        for (limit, value) in [("min", 0.0), ("max", 6.0)] {
            inputs.push(self.constant(&format!("{name}.{limit}"), vec![], &[value])?);
        }
        Ok(self.node(&name, "Clip", inputs, &[], x.shape))
    }

    /// `x Φ(x) = x/2 (1 + erf(x/√2))`. The operator `Gelu` is newer than many runtimes.
    pub(crate) fn gelu(&mut self, x: Value) -> Result<Value, OnnxError> {
        let path = |part: &str| format!("{}.gelu.{part}", x.name);
        let half = self.with_constants(&path("half"), "Mul", x.clone(), vec![], &[0.5])?;
        let root = std::f64::consts::FRAC_1_SQRT_2;
        let scaled = self.with_constants(&path("scaled"), "Mul", x.clone(), vec![], &[root])?;
        let erf = self.node(&path("erf"), "Erf", vec![scaled.name], &[], scaled.shape);
        let sum = self.with_constants(&path("sum"), "Add", erf, vec![], &[1.0])?;
        let inputs = vec![half.name, sum.name];
        Ok(self.node(&path("gelu"), "Mul", inputs, &[], x.shape))
    }

    /// Maximum of each `side × side` window. Windows do not overlap; rows and columns at the end
    /// that do not fill a window are ignored.
    pub(crate) fn max_pool(&mut self, side: usize, x: Value) -> Result<Value, OnnxError> {
        self.max_pool_with(side, Window::valid().with_stride(side), x)
    }

    /// Maximum of each `side × side` window.
    pub(crate) fn max_pool_with(
        &mut self,
        side: usize,
        window: Window,
        x: Value,
    ) -> Result<Value, OnnxError> {
        let name = format!("{}.max_pool", x.name);
        let [channels, height, width] = feature_map(&x);
        let [height, width] = output_size(&name, side, window, [height, width])?;
        let ints = |value: usize, count| Attribute::Ints(vec![value as i64; count]);
        let mut attributes = vec![
            ("kernel_shape", ints(side, 2)),
            ("strides", ints(window.stride, 2)),
        ];
        if window.padding > 0 {
            attributes.push(("pads", ints(window.padding, 4)));
        }
        let shape = vec![channels, height, width];
        Ok(self.node(&name, "MaxPool", vec![x.name], &attributes, shape))
    }

    /// Mean over height and width: `[channels]`.
    pub(crate) fn global_average_pool(&mut self, x: Value) -> Value {
        let name = format!("{}.global_average_pool", x.name);
        let shape = vec![feature_map(&x)[0], 1, 1];
        let pooled = self.node(&name, "GlobalAveragePool", vec![x.name], &[], shape);
        self.flatten(pooled)
    }

    /// Maximum over height and width: `[channels]`.
    pub(crate) fn global_max_pool(&mut self, x: Value) -> Value {
        let name = format!("{}.global_max_pool", x.name);
        let shape = vec![feature_map(&x)[0], 1, 1];
        let pooled = self.node(&name, "GlobalMaxPool", vec![x.name], &[], shape);
        self.flatten(pooled)
    }

    /// One row of features per image.
    pub(crate) fn flatten(&mut self, x: Value) -> Value {
        let name = format!("{}.flatten", x.name);
        let axis = [("axis", Attribute::Int(1))];
        let features = x.shape.iter().product();
        self.node(&name, "Flatten", vec![x.name], &axis, vec![features])
    }

    /// Sum of two values of the same shape.
    pub(crate) fn add(&mut self, name: &str, x: Value, y: Value) -> Value {
        self.node(name, "Add", vec![x.name, y.name], &[], x.shape)
    }

    /// Combines `x` with constants that are broadcast to its shape by an operator such as `Mul`.
    pub(crate) fn with_constants(
        &mut self,
        name: &str,
        operator: &'static str,
        x: Value,
        shape: Vec<usize>,
        values: &[f64],
    ) -> Result<Value, OnnxError> {
        let constant = self.constant(&format!("{name}.constant"), shape, values)?;
        Ok(self.node(name, operator, vec![x.name, constant], &[], x.shape))
    }

    /// Adds an operation. Its output has the name of the operation.
    pub(crate) fn node(
        &mut self,
        name: &str,
        operator: &'static str,
        inputs: Vec<String>,
        attributes: &[(&'static str, Attribute)],
        shape: Vec<usize>,
    ) -> Value {
        self.graph.nodes.push(Node {
            name: name.to_owned(),
            operator,
            inputs,
            output: name.to_owned(),
            attributes: attributes.to_vec(),
        });
        Value {
            name: name.to_owned(),
            shape,
        }
    }

    /// Gives a value the name of an output of the graph.
    pub(crate) fn rename(&mut self, x: Value, name: &str) -> Value {
        for node in &mut self.graph.nodes {
            for used in node.inputs.iter_mut().chain([&mut node.output]) {
                if *used == x.name {
                    name.clone_into(used);
                }
            }
        }
        Value {
            name: name.to_owned(),
            ..x
        }
    }

    fn push_conv(
        &mut self,
        name: &str,
        window: Window,
        weight: Tensor,
        bias: Option<Vec<f64>>,
        x: Value,
    ) -> Result<Value, OnnxError> {
        let (channels, kernel) = (weight.shape[0], weight.shape[2]);
        let [_, height, width] = feature_map(&x);
        let (pads, [height, width]) = match self.same_upper {
            false => {
                let size = output_size(name, kernel, window, [height, width])?;
                (vec![window.padding as i64; 4], size)
            }
            true => {
                let size = [height, width].map(|side| side.div_ceil(window.stride));
                let zeros = |side: usize, size: usize| {
                    let last = size.saturating_sub(1) * window.stride;
                    (last + kernel).saturating_sub(side)
                };
                let zeros = [zeros(height, size[0]), zeros(width, size[1])];
                let before = zeros.map(|zeros| (zeros / 2) as i64);
                let after = zeros.map(|zeros| zeros.div_ceil(2) as i64);
                ([before, after].concat(), size)
            }
        };
        let mut inputs = vec![x.name];
        inputs.push(self.constant(&format!("{name}.weight"), weight.shape, &weight.values)?);
        if let Some(bias) = bias {
            inputs.push(self.constant(&format!("{name}.bias"), vec![channels], &bias)?);
        }
        let ints = |value: usize, count| Attribute::Ints(vec![value as i64; count]);
        let mut attributes = vec![
            ("kernel_shape", ints(kernel, 2)),
            ("strides", ints(window.stride, 2)),
            ("pads", Attribute::Ints(pads)),
        ];
        if window.groups > 1 {
            attributes.push(("group", Attribute::Int(window.groups as i64)));
        }
        let shape = vec![channels, height, width];
        Ok(self.node(name, "Conv", inputs, &attributes, shape))
    }

    /// The weight `[out, in / groups, kernel, kernel]` of a convolution of `x`.
    fn kernel(&mut self, name: &str, window: Window, x: &Value) -> Result<Tensor, OnnxError> {
        let name = format!("{name}.weight");
        let weight = self.take(&name)?;
        let channels = feature_map(x)[0] / window.groups;
        match weight.shape[..] {
            [_, found, height, width] if found == channels && height == width => Ok(weight),
            _ => {
                let expected = format!("[out, {channels}, kernel, kernel]");
                Err(shape_error(name, weight.shape, expected))
            }
        }
    }

    fn optional_vector(
        &mut self,
        name: &str,
        length: usize,
    ) -> Result<Option<Vec<f64>>, OnnxError> {
        match self.weights.contains_key(name) {
            true => self.vector(name, length).map(Some),
            false => Ok(None),
        }
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Vec<f64>, OnnxError> {
        let Tensor { shape, values } = self.take(name)?;
        match shape[..] == [length] {
            true => Ok(values),
            false => Err(shape_error(name, shape, format!("[{length}]"))),
        }
    }

    /// Takes a tensor out of the weights.
    fn take(&mut self, name: &str) -> Result<Tensor, OnnxError> {
        let missing = || OnnxError::MissingTensor {
            name: name.to_owned(),
        };
        let data = self.weights.remove(name).ok_or_else(missing)?;
        let values: Vec<f64> = data.iter::<f64>().collect();
        check_finite(name, values.iter().copied())?;
        Ok(Tensor {
            shape: data.shape().to_vec(),
            values,
        })
    }

    /// Adds a constant, rounded to float32, and returns its name.
    fn constant(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        values: &[f64],
    ) -> Result<String, OnnxError> {
        let values: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        check_finite(name, values.iter().map(|value| f64::from(*value)))?;
        self.graph.constants.push(Constant {
            name: name.to_owned(),
            shape,
            values,
        });
        Ok(name.to_owned())
    }
}

/// Channels, height and width of a feature map. Missing dimensions count as one pixel.
fn feature_map(x: &Value) -> [usize; 3] {
    let size = |axis: usize| x.shape.get(axis).copied().unwrap_or(1);
    [size(0), size(1), size(2)]
}

/// Height and width after a window of `kernel × kernel` pixels: `(size + 2 padding - kernel) /
/// stride + 1`, rounded down.
fn output_size(
    layer: &str,
    kernel: usize,
    window: Window,
    size: [usize; 2],
) -> Result<[usize; 2], OnnxError> {
    let [height, width] = size.map(|side| side + 2 * window.padding);
    if height < kernel || width < kernel {
        return Err(OnnxError::ImageTooSmall {
            layer: layer.to_owned(),
            window: kernel,
            height,
            width,
        });
    }
    Ok([height, width].map(|side| (side - kernel) / window.stride + 1))
}

fn check_finite(name: &str, mut values: impl Iterator<Item = f64>) -> Result<(), OnnxError> {
    match values.all(f64::is_finite) {
        true => Ok(()),
        false => Err(OnnxError::NotFinite {
            name: name.to_owned(),
        }),
    }
}

fn shape_error(
    name: impl Into<String>,
    found: Vec<usize>,
    expected: impl Into<String>,
) -> OnnxError {
    OnnxError::Shape {
        name: name.into(),
        found,
        expected: expected.into(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    fn weights(tensors: &[(&str, &[f32], &[usize])]) -> TensorMap {
        let data =
            |values: &[f32], shape: &[usize]| TensorData::new(values.to_vec(), shape.to_vec());
        let named = tensors.iter();
        named
            .map(|(name, values, shape)| ((*name).to_owned(), data(values, shape)))
            .collect()
    }

    fn image(channels: usize, side: usize) -> Value {
        Value {
            name: "x".to_owned(),
            shape: vec![channels, side, side],
        }
    }

    /// `3 (2 x + 1 - 2) / 1.5 + 0.5 = 4 x - 1.5` with the bias 1, and `-4 x` in the other channel:
    /// scales are 3 / 1.5 = 2 and -8 / 4 = -2.
    #[test]
    fn batch_norm_is_folded_as_computed_by_hand() {
        let epsilon = NormShape::EPSILON as f32;
        let mut layers = Layers::new(weights(&[
            ("c.weight", &[2.0, 2.0], &[2, 1, 1, 1]),
            ("c.bias", &[1.0, 1.0], &[2]),
            ("n.weight", &[3.0, -8.0], &[2]),
            ("n.bias", &[0.5, -2.0], &[2]),
            ("n.running_mean", &[2.0, 0.0], &[2]),
            ("n.running_var", &[2.25 - epsilon, 16.0 - epsilon], &[2]),
        ]));
        let y = layers.conv_norm("c", "n", Window::same(1), image(1, 4));
        assert_eq!(y.unwrap().shape, [2, 4, 4]);
        let graph = layers.finish().unwrap();
        let close = |values: &[f32], expected: [f32; 2]| {
            let near = |(value, wanted): (&f32, f32)| (value - wanted).abs() < 1e-6;
            values.len() == 2 && values.iter().zip(expected).all(near)
        };
        let [weight, bias] = &graph.constants[..] else {
            panic!("{graph:?}");
        };
        assert!(close(&weight.values, [4.0, -4.0]), "{weight:?}");
        assert!(close(&bias.values, [-1.5, -4.0]), "{bias:?}");
    }

    #[test]
    fn sizes_are_rounded_down_and_tensors_without_bias_accepted() {
        let mut layers = Layers::new(weights(&[
            ("c.weight", &[0.0; 9], &[1, 1, 3, 3]),
            ("fc.weight", &[0.0; 8], &[2, 4]),
        ]));
        let x = layers.conv("c", Window::same(3).with_stride(2), image(1, 9));
        let x = x.unwrap();
        assert_eq!(x.shape, [1, 5, 5]);
        let x = layers.max_pool(2, x).unwrap();
        assert_eq!(x.shape, [1, 2, 2]);
        let x = layers.flatten(x);
        let x = layers.linear("fc", x).unwrap();
        assert_eq!(x.shape, [2]);
        let graph = layers.finish().unwrap();
        assert!(graph.nodes.iter().all(|node| node.inputs.len() <= 2));
    }

    #[test]
    fn a_window_larger_than_its_input_is_refused() {
        let mut layers = Layers::new(TensorMap::new());
        assert!(matches!(
            layers.max_pool(3, image(1, 2)),
            Err(OnnxError::ImageTooSmall { window: 3, .. })
        ));
    }
}
