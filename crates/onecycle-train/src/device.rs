//! Devices by name, and the number of CPU threads. The main type is [`Device`].

#[cfg(feature = "cuda")]
use std::env;
use std::str::FromStr;

use burn::tensor::Device as BurnDevice;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// Where to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// The CPU, with Burn's `flex` backend.
    Cpu,
    /// An NVIDIA GPU; needs the feature `cuda`.
    Cuda,
    /// Any GPU with Vulkan, Metal or WebGPU; needs the feature `wgpu`.
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

/// Opens a device, without autodiff. Processes that a launcher has started together on a machine with
/// several NVIDIA GPUs take one each.
///
/// # Errors
/// [`ConfigError::DeviceNotBuilt`] if this build lacks the feature of the device;
/// [`ConfigError::NoDevice`] if the machine has no such device or no driver for it.
pub fn open(device: Device) -> Result<BurnDevice, ConfigError> {
    match device {
        Device::Cpu => Ok(BurnDevice::flex()),
        #[cfg(feature = "cuda")]
        Device::Cuda => {
            let found = BurnDevice::enumerate(DeviceType::Cuda).len();
            // Burn panics at the first operation on a device that does not exist.
            if found == 0 {
                let remedy = "install NVIDIA's driver (libcuda.so.1), and check that `nvidia-smi` lists a GPU";
                return Err(ConfigError::NoDevice {
                    device: "cuda",
                    remedy,
                });
            }
            Ok(BurnDevice::cuda(
                local_rank(|name| env::var(name).ok()) % found,
            ))
        }
        #[cfg(feature = "wgpu")]
        Device::Wgpu => {
            if BurnDevice::enumerate(DeviceType::Wgpu).is_empty() {
                let remedy =
                    "install a Vulkan driver for your GPU, and check that `vulkaninfo` lists it";
                return Err(ConfigError::NoDevice {
                    device: "wgpu",
                    remedy,
                });
            }
            Ok(BurnDevice::wgpu(burn::tensor::DeviceKind::DefaultDevice))
        }
        #[allow(unreachable_patterns, reason = "reached if a feature is off")]
        _ => Err(ConfigError::DeviceNotBuilt {
            device: format!("{device:?}").to_lowercase(),
        }),
    }
}

/// Variables in which launchers tell a process its number on its machine: Open MPI, MPICH and Slurm.
#[cfg(any(feature = "cuda", test))]
const LOCAL_RANKS: [&str; 3] = [
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "SLURM_LOCALID",
];

/// Number of this process among those that a launcher has started on this machine, from 0; 0 without a
/// launcher. `variable` returns the value of an environment variable.
#[cfg(any(feature = "cuda", test))]
fn local_rank(variable: impl Fn(&str) -> Option<String>) -> usize {
    let rank = |name: &&str| variable(name)?.parse().ok();
    LOCAL_RANKS.iter().find_map(rank).unwrap_or(0)
}

/// Sets the number of CPU threads of the process; 0 for one per core. Only the first call has an
/// effect, because the thread pool is created once.
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

/// Runs `work` on a thread of the pool. A training step divides its work among the threads a few
/// hundred times; from inside the pool, each of these begins without waking another thread first.
pub(crate) fn on_pool_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_number_the_processes_of_a_machine() {
        let rank =
            |name: &str, value: &str| local_rank(|asked| (asked == name).then(|| value.to_owned()));
        assert_eq!(rank("SLURM_LOCALID", "3"), 3);
        assert_eq!(rank("OMPI_COMM_WORLD_LOCAL_RANK", "1"), 1);
        assert_eq!(rank("SLURM_LOCALID", "none"), 0);
        assert_eq!(rank("RANK", "2"), 0);
    }
}
