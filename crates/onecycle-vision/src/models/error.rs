/// Why a network of the zoo cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No network has this name.
    #[error("model `{name}` is unknown; known models: {known}")]
    UnknownModel {
        /// The name that was given.
        name: String,
        /// All names, separated by commas.
        known: String,
    },
    /// The network would pool the image away.
    #[error(
        "model `{model}` needs images of at least {min_side} x {min_side} pixels, these have {height} x {width}"
    )]
    ImageTooSmall {
        /// Name of the network.
        model: String,
        /// Height of the images.
        height: usize,
        /// Width of the images.
        width: usize,
        /// Smallest height and width.
        min_side: usize,
    },
}
