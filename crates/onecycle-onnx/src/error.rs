/// A network cannot be written as an ONNX file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The weights lack a tensor of the network.
    #[error(
        "the weights have no tensor `{name}`, which the network needs: use the weights of this network"
    )]
    MissingTensor {
        /// Path of the parameter, such as `conv1.weight`.
        name: String,
    },

    /// The weights have a tensor that the network lacks.
    #[error(
        "the weights have a tensor `{name}`, which the network lacks: use the weights of this network"
    )]
    UnexpectedTensor {
        /// Path of the parameter.
        name: String,
    },

    /// A tensor does not fit the layer or the input of the layer.
    #[error(
        "tensor `{name}` has shape {found:?}, expected {expected}: use the weights of this network"
    )]
    Shape {
        /// Path of the parameter.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that fits, in words.
        expected: String,
    },

    /// A weight is NaN or infinite.
    #[error(
        "tensor `{name}` contains NaN or infinity: the weights are damaged or have diverged; train \
         the network again, with a smaller learning rate if its loss was not finite"
    )]
    NotFinite {
        /// Path of the parameter.
        name: String,
    },

    /// The images are smaller than a window of the network.
    #[error(
        "`{layer}` has a window of {window} pixels, but its input has only {height} x {width}: use larger images"
    )]
    ImageTooSmall {
        /// Name of the layer.
        layer: String,
        /// Height and width of the window.
        window: usize,
        /// Height of the input with its padding.
        height: usize,
        /// Width of the input with its padding.
        width: usize,
    },

    /// The network has another number of outputs than there are classes.
    #[error("the network has {outputs} outputs for {classes} classes, expected as many")]
    Classes {
        /// Outputs of the last layer.
        outputs: usize,
        /// Number of class names.
        classes: usize,
    },

    /// Mean and standard deviation do not fit the images.
    #[error("the statistics of the images cannot be used: {why}")]
    Statistics {
        /// What is wrong with them.
        why: String,
    },

    /// The file would be larger than protocol buffers allow.
    #[error(
        "the network takes {bytes} bytes, but an ONNX file has at most 2147483647: use a smaller network or smaller images"
    )]
    TooLarge {
        /// Size of the file.
        bytes: usize,
    },
}
