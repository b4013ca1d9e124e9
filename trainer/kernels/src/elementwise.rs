//! Activations.

/// What follows a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `max(z, 0)`
    Relu,
    /// `min(max(z, 0), 6)`
    Relu6,
    /// `z * min(max(z + 3, 0), 6) / 6`
    HardSwish,
}

/// An activation that the compiler knows, so that loops over it have no branch.
pub(crate) trait Activate: Copy + Sync {
    fn value(z: f32) -> f32;
    fn slope(z: f32) -> f32;
}

#[derive(Clone, Copy)]
pub(crate) struct Identity;
#[derive(Clone, Copy)]
pub(crate) struct Relu;
#[derive(Clone, Copy)]
pub(crate) struct Relu6;
#[derive(Clone, Copy)]
pub(crate) struct HardSwish;

impl Activate for Identity {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        z
    }
    #[inline(always)]
    fn slope(_: f32) -> f32 {
        1.0
    }
}

impl Activate for Relu {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        // Not `max`, which would turn a value that is not a number into 0.
        if z < 0.0 { 0.0 } else { z }
    }
    #[inline(always)]
    fn slope(z: f32) -> f32 {
        if z > 0.0 { 1.0 } else { 0.0 }
    }
}

impl Activate for Relu6 {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        let above = if z < 0.0 { 0.0 } else { z };
        if above > 6.0 { 6.0 } else { above }
    }
    #[inline(always)]
    fn slope(z: f32) -> f32 {
        let above = if z > 0.0 { 1.0 } else { 0.0 };
        if z < 6.0 { above } else { 0.0 }
    }
}

impl Activate for HardSwish {
    #[inline(always)]
    fn value(z: f32) -> f32 {
        z * (z + 3.0).clamp(0.0, 6.0) * (1.0 / 6.0)
    }
    #[inline(always)]
    fn slope(z: f32) -> f32 {
        let middle = if z > -3.0 { (2.0 * z + 3.0) * (1.0 / 6.0) } else { 0.0 };
        if z < 3.0 { middle } else { 1.0 }
    }
}

/// Calls `$body` with `$name` standing for the type of the activation.
macro_rules! with_activation {
    ($activation:expr, $name:ident => $body:expr) => {
        match $activation {
            $crate::elementwise::Activation::Identity => {
                type $name = $crate::elementwise::Identity;
                $body
            }
            $crate::elementwise::Activation::Relu => {
                type $name = $crate::elementwise::Relu;
                $body
            }
            $crate::elementwise::Activation::Relu6 => {
                type $name = $crate::elementwise::Relu6;
                $body
            }
            $crate::elementwise::Activation::HardSwish => {
                type $name = $crate::elementwise::HardSwish;
                $body
            }
        }
    };
}
pub(crate) use with_activation;
