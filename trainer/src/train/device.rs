//! Where tensors live.

use std::str::FromStr;

use burn::tensor::Device;

use super::device_error::DeviceError;

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

/// A name that is not that of a device.
#[derive(Debug, thiserror::Error)]
#[error("unknown device '{0}'; there are auto, cpu, gpu and gpu:<number>")]
pub struct UnknownDevice(String);

impl FromStr for DeviceChoice {
    type Err = UnknownDevice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu(0)),
            _ => {
                let number = text.strip_prefix("gpu:").and_then(|number| number.parse().ok());
                number.map(Self::Gpu).ok_or_else(|| UnknownDevice(text.to_owned()))
            }
        }
    }
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
