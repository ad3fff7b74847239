//! Devices by name, and the number of CPU threads.

use std::str::FromStr;

use burn::tensor::Device as BurnDevice;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// Burn's `flex` backend: the CPU, any machine.
    Cpu,
    /// An NVIDIA GPU; needs a build with the feature `cuda`.
    Cuda,
    /// Any GPU by Vulkan, Metal or WebGPU; needs a build with the feature `wgpu`.
    Wgpu,
}

impl FromStr for Device {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        match name {
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda),
            "wgpu" => Ok(Device::Wgpu),
            _ => Err(ConfigError::setting("device", name, "cpu, cuda or wgpu")),
        }
    }
}

/// Opens a device, without autodiff.
///
/// # Errors
/// [`ConfigError::DeviceNotBuilt`] where this build lacks the device's feature.
pub fn open(device: Device) -> Result<BurnDevice, ConfigError> {
    match device {
        Device::Cpu => Ok(BurnDevice::flex()),
        #[cfg(feature = "cuda")]
        Device::Cuda => Ok(BurnDevice::cuda(0usize)),
        #[cfg(feature = "wgpu")]
        Device::Wgpu => Ok(BurnDevice::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[allow(unreachable_patterns, reason = "reached where a feature is off")]
        _ => Err(ConfigError::DeviceNotBuilt {
            device: format!("{device:?}").to_lowercase(),
        }),
    }
}

/// Sets the number of CPU threads for the whole process, 0 for one a core. Only the first call counts: the pool of
/// threads is made once.
///
/// # Errors
/// [`ConfigError::Threads`] if the pool exists with another number of threads.
pub fn set_threads(threads: usize) -> Result<(), ConfigError> {
    let made = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global();
    let found = rayon::current_num_threads();
    if made.is_err() && threads != 0 && found != threads {
        return Err(ConfigError::Threads {
            wanted: threads,
            found,
        });
    }
    Ok(())
}

/// Does `work` on one of the CPU threads, so that what it divides among them begins without waking another first: a
/// training step divides its work a few hundred times.
pub(crate) fn on_a_cpu_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}
