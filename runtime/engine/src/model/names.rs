//! Names of values that every COMET graph has.

/// The only input: an image, `[1, 3, height, width]`, normalised.
pub const IMAGE: &str = "image";
/// The masked image `S(x) * x`: the predictor's only input.
pub const MASKED: &str = "masked";
/// What the map leaves out, `(1 - S(x)) * x`, in graphs that carry the detector: the detector's only input.
pub const LEFT_OUT: &str = "left_out";
/// The detector's logits, the third output of files that carry it.
pub const LEFT_OUT_LOGITS: &str = "left_out_logits";
