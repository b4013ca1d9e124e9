//! Why the engine cannot prepare or run a graph.

use comet_kernels::Fault;

/// The ways in which a graph cannot be prepared or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A dependency panicked while it prepared the graph.
    #[error("it panicked on this graph")]
    PanickedPreparing,
    /// A dependency panicked while it ran the graph.
    #[error("it panicked while running")]
    PanickedRunning,
    /// The model holds no graph.
    #[error("it holds no graph")]
    NoGraph,
    /// [`Kernels::Float`](super::Kernels::Float) was asked for, and the graph's quantization cannot be removed.
    #[error("its quantization cannot be taken out")]
    NotDequantizable,
    /// A value is larger than any network for cameras needs.
    #[error("'{name}' would have more than {limit} values")]
    TooLarge {
        /// The value's name in the graph.
        name: String,
        /// The limit, in elements.
        limit: usize,
    },
    /// The values that a [`Probe`](super::Probe) is to look at depend on more than the value it is given.
    #[error("the values to look at do not depend on '{0}' alone")]
    NotSeparable(String),
    /// The graph gives fewer outputs than it declares.
    #[error("an output is missing")]
    MissingOutput,
    /// An output does not lie in memory as one piece.
    #[error("an output is not contiguous")]
    NotContiguous,
    /// The integer kernels refuse shapes or sizes.
    #[error(transparent)]
    Kernel(#[from] Fault),
    /// tract refuses the graph.
    #[error("{0}")]
    Tract(String),
}
