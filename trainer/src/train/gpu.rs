//! GPUs, through Vulkan with SPIR-V shaders (feature `vulkan`) or wgpu with WGSL shaders (feature `wgpu`).

use std::panic::catch_unwind;

use burn::tensor::{Device, DeviceType};

use super::device_error::DeviceError;

#[cfg(feature = "vulkan")]
const KIND: (DeviceType, &str) = (DeviceType::Vulkan, "Vulkan, SPIR-V");
#[cfg(not(feature = "vulkan"))]
const KIND: (DeviceType, &str) = (DeviceType::Wgpu, "wgpu, WGSL");

/// Opens GPU number `number` in the order in which the system lists them.
pub(super) fn open(number: usize) -> Result<(Device, String), DeviceError> {
    // Listing panics where there is no Vulkan loader at all: to the user that is a machine without a GPU.
    let devices = catch_unwind(|| Device::enumerate(KIND.0).into_vec()).unwrap_or_default();
    let names: Vec<String> = devices.iter().map(name).collect();
    match devices.get(number).zip(names.get(number)) {
        Some((device, name)) => Ok((device.clone(), format!("GPU {number}: {name} ({})", KIND.1))),
        None => {
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err(DeviceError::NotFound { number, found })
        }
    }
}

fn name(device: &Device) -> String {
    device.identity().map_or_else(|| format!("{device:?}"), |identity| identity.name)
}
