//! Where tensors live.

use std::str::FromStr;

use burn::tensor::Device;

/// Which device the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A GPU if this build can use one and one is there, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU by number.
    Gpu(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(0)),
            _ => {
                let number = text.strip_prefix("gpu:").and_then(|number| number.parse().ok());
                number.map(Self::Gpu).ok_or_else(|| {
                    format!("unknown device '{text}'; there are auto, cpu, gpu and gpu:<number>")
                })
            }
        }
    }
}

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

/// Opens the device and names it.
pub fn open_device(choice: DeviceChoice) -> Result<(Device, String), DeviceError> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Auto => Ok(gpu(0).unwrap_or_else(|_| cpu())),
        DeviceChoice::Gpu(number) => gpu(number),
    }
}

fn cpu() -> (Device, String) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    (Device::flex(), format!("CPU ({threads} threads, Burn flex)"))
}

#[cfg(not(any(feature = "vulkan", feature = "wgpu")))]
fn gpu(_number: usize) -> Result<(Device, String), DeviceError> {
    Err(DeviceError::NoBackend)
}

#[cfg(any(feature = "vulkan", feature = "wgpu"))]
fn gpu(number: usize) -> Result<(Device, String), DeviceError> {
    super::gpu::open(number)
}
