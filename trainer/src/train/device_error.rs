//! Why a device cannot be used.

/// Why a device cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// This build has no GPU backend.
    #[error(
        "this build cannot use a GPU. Build it with 'cargo build --release -p comet-trainer --features vulkan' (or 'wgpu'), or use --device cpu"
    )]
    NoBackend,
    /// No such GPU was found.
    #[error(
        "there is no GPU number {number}; found: {found}. Check the driver ('vulkaninfo --summary'), or use --device cpu"
    )]
    NotFound {
        /// The wanted number.
        number: usize,
        /// What there is.
        found: String,
    },
}
