//! Existing weights that a run starts from: [`Init`], for the key `init`.
//!
//! They are the model of a run, or any safetensors file whose names and shapes fit the network. Names
//! may be those of timm, torchvision or EfficientNet-PyTorch. The last layer may be for other classes
//! or missing: it then starts anew, or its rows are sorted by class.

mod head;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::tensor::TensorData;
use onecycle_burn::state::{self, TensorMap};
use onecycle_vision::{Statistics, models::Model};
use serde::{Deserialize, Serialize};

use self::head::{Head, Rows};
use crate::{
    ConfigError, RunError, TrainError,
    model_card::{ModelCard, model_in},
    weights_file::{self, WeightsFile},
};

/// The weights that a run starts from.
#[derive(Debug, Clone)]
pub struct Init {
    path: PathBuf,
    file: InitFile,
    /// Contents of the file; `None` for a resumed run, which has its weights in a checkpoint.
    contents: Option<Arc<WeightsFile>>,
}

/// What a run records of the file that it started from, in `run.toml`. A resumed run needs no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitFile {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Normalisation of the images, if the file says it or is of a network for ImageNet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistics: Option<Statistics>,
}

/// A network with loaded weights.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) model: Model,
    /// Remarks for the user, for example that the last layer is new.
    pub(crate) notes: Vec<String>,
}

impl Init {
    /// Reads the model of a run, given its folder, or a safetensors file.
    ///
    /// # Errors
    /// [`RunError::NotFinished`] if the run has no model yet; [`ConfigError::Setting`] if the file
    /// cannot be read or is not a safetensors file;
    /// [`DataError::PickledWeights`](onecycle_vision::DataError::PickledWeights) for a file of
    /// PyTorch.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let file = model_in(path);
        if path.join("run.toml").exists() && !file.exists() {
            return Err(RunError::NotFinished {
                run: path.to_path_buf(),
            }
            .into());
        }
        let wrong = |why: String| {
            let expected = format!("the folder of a run or a safetensors file: {why}");
            ConfigError::setting("init", path.display(), expected)
        };
        let bytes = fs::read(&file)
            .map_err(|error| wrong(format!("cannot read {}: {error}", file.display())))?;
        weights_file::check_format(&file)?;
        let contents = WeightsFile::of(&file, &bytes).map_err(wrong)?;
        Ok(Init {
            path: path.to_path_buf(),
            file: InitFile {
                sha256: contents.sha256.clone(),
                statistics: contents.statistics(),
            },
            contents: Some(Arc::new(contents)),
        })
    }

    /// The weights of a resumed run, as it recorded them. The file is read only if the run must
    /// start again from its beginning.
    pub fn recorded(path: &Path, file: InitFile) -> Self {
        Init {
            path: path.to_path_buf(),
            file,
            contents: None,
        }
    }

    /// What a run records of the file.
    pub fn file(&self) -> &InitFile {
        &self.file
    }

    /// Whether the file was read, not only recorded.
    pub(crate) fn is_read(&self) -> bool {
        self.contents.is_some()
    }

    /// Remarks on the normalisation, and on training images that are now measured on.
    ///
    /// `checksums` are those of the data, and `divided` says whether `seed` divides their images into
    /// those to train and those to measure on.
    pub(crate) fn notes(
        &self,
        checksums: &BTreeMap<String, String>,
        seed: u64,
        divided: bool,
    ) -> Vec<String> {
        let contents = self.contents.as_ref();
        let Some(card) = contents.and_then(|contents| contents.card.as_ref()) else {
            let those = match contents.is_some_and(|contents| contents.assumes_imagenet()) {
                true => "those of ImageNet are used, as torchvision and most weights of timm do",
                false => "mean and standard deviation of the data are used",
            };
            return vec![format!(
                "init: the file does not say how its images were normalised; {those}"
            )];
        };
        let mut notes = vec![
            "init: images are normalised by the mean and standard deviation of the weights, which learned under them"
                .to_owned(),
        ];
        let same_images = card.trained_on.as_ref().is_some_and(|run| {
            let same = |(name, sum): (&String, &String)| checksums.get(name) == Some(sum);
            run.seed != seed && run.checksums.iter().any(same)
        });
        if same_images && divided {
            notes.push(format!(
                "init: the weights were trained on these data with seed {}, which divides them differently: some of \
                 the images measured on were trained on; use the same seed",
                card.trained_on.as_ref().map_or(0, |run| run.seed)
            ));
        }
        notes
    }

    /// Loads the weights into `model`, a new network for these classes.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] with the tensors that do not fit; [`RunError::InitChanged`] if the
    /// run was resumed and its file is another one.
    pub(crate) fn load(&self, model: Model, classes: &[String]) -> Result<Loaded, TrainError> {
        let contents = self.contents()?;
        let card = contents.card.as_ref();
        let shapes = state::shapes(&model);
        let weights = &contents.named_for(&shapes);
        let head = Head::find(&shapes, classes.len());
        let head = head
            .filter(|head| head.is_missing(weights) || head.only_classes_differ(&shapes, weights));
        let mut tensors = weights.clone();
        let mut notes = Vec::new();
        if let Some(head) = head {
            let known = card.map(|card| card.classes.as_slice());
            let layer = head.layer();
            let rows = match head.outputs(weights) {
                Some(outputs) => head::rows(known, outputs, classes),
                None => Rows::New("the file has no last layer".to_owned()),
            };
            match rows {
                Rows::Same => {}
                Rows::Sorted(order) => {
                    for name in head.names() {
                        if let Some(data) = tensors.get_mut(&name) {
                            *data = sorted(data, &order);
                        }
                    }
                    notes.push(format!(
                        "init: the weights have the classes in another order: the rows of the last layer, `{layer}`, \
                         are sorted by name"
                    ));
                }
                Rows::New(why) => {
                    for (name, data) in state::weights(&model) {
                        if head.names().contains(&name) {
                            tensors.insert(name, data);
                        }
                    }
                    notes.push(format!(
                        "init: {why}: the last layer, `{layer}`, starts anew"
                    ));
                }
            }
        }
        let wrong = differences(&shapes, &tensors);
        if !wrong.is_empty() {
            return Err(self.do_not_fit(&wrong, card).into());
        }
        Ok(Loaded {
            model: state::load_weights(model, tensors)?,
            notes,
        })
    }

    fn contents(&self) -> Result<Arc<WeightsFile>, TrainError> {
        if let Some(contents) = &self.contents {
            return Ok(Arc::clone(contents));
        }
        let changed = |why: String| RunError::InitChanged {
            path: self.path.clone(),
            why,
        };
        let read = Init::read(&self.path).map_err(|error| changed(error.to_string()))?;
        if read.file.sha256 != self.file.sha256 {
            return Err(changed("it is another file now".to_owned()).into());
        }
        read.contents
            .ok_or_else(|| changed("it is empty".to_owned()).into())
    }

    /// The error for tensors that do not fit.
    fn do_not_fit(&self, wrong: &[String], card: Option<&ModelCard>) -> ConfigError {
        const SHOWN: usize = 4;
        let mut expected = format!(
            "weights that fit the network: {}",
            wrong[..wrong.len().min(SHOWN)].join("; ")
        );
        if wrong.len() > SHOWN {
            let _ = write!(expected, "; and {} more", wrong.len() - SHOWN);
        }
        match card {
            Some(card) => {
                let _ = write!(
                    expected,
                    ". They are of `{}` for images of {}: set model = \"{0}\" and the same size of images",
                    card.model, card.shape
                );
            }
            None => expected
                .push_str(". Choose the network that they were trained with: model = \"NAME\""),
        }
        ConfigError::setting("init", self.path.display(), expected)
    }
}

/// How tensors differ from the `shapes` of a network, in words.
fn differences(shapes: &[(String, Vec<usize>)], tensors: &TensorMap) -> Vec<String> {
    let of_network = shapes
        .iter()
        .filter_map(|(name, shape)| match tensors.get(name) {
            None => Some(format!("{name} is missing")),
            Some(data) => {
                let found = data.shape().to_vec();
                (found != *shape).then(|| format!("{name} has shape {found:?}, expected {shape:?}"))
            }
        });
    let unknown = tensors
        .keys()
        .filter(|name| shapes.iter().all(|(known, _)| known != *name))
        .map(|name| format!("{name} is not in the network"));
    of_network.chain(unknown).collect()
}

/// The rows of a tensor in another order.
fn sorted(data: &TensorData, order: &[usize]) -> TensorData {
    let shape = data.shape().to_vec();
    let row = shape.iter().skip(1).product::<usize>();
    // Files have float32 and float64; the network is float32.
    let values: Vec<f32> = data.iter::<f32>().collect();
    let rows = order
        .iter()
        .flat_map(|from| values[from * row..(from + 1) * row].iter().copied());
    TensorData::new(rows.collect::<Vec<f32>>(), shape)
}
