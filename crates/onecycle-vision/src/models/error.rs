/// Why a network cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No network has this name.
    #[error("model `{name}` is unknown; known models: {known}")]
    UnknownModel {
        /// The given name.
        name: String,
        /// All names, separated by commas.
        known: String,
    },
    /// The image is too small: after the pools of the network no pixel would be left.
    #[error(
        "model `{model}` needs images of at least {min_side} x {min_side} pixels, these have {height} x {width}"
    )]
    ImageTooSmall {
        /// Name of the network.
        model: String,
        /// Height of the images, in pixels.
        height: usize,
        /// Width of the images, in pixels.
        width: usize,
        /// Smallest height and width, in pixels.
        min_side: usize,
    },
}
