//! Features of a frozen network: computed once, kept in the folder of a run, and drawn instead of
//! images.
//!
//! They lie in `features/KEY/`, where `KEY` is derived from everything that they depend on: weights,
//! data, preprocessing, augmentation and seed. A file has the features of up to [`PART`] images of
//! one view, and is written when they are complete. A run that is stopped in between continues after
//! the last one.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::{module::Module, tensor::TensorData};
use onecycle_vision::{Augment, Features, Loader, Statistics, files::sha256, models::Model};
use serde::Serialize;

use crate::{
    Experiment, FileError, RunError, TrainError,
    config::DataConfig,
    device::{self, Device},
    files,
    observer::Observer,
    run_folder::RunFolder,
    tensors,
    tta::Tta,
};

/// Largest number of images in a file.
const PART: usize = 1024;
/// Images that go through the network together.
const BATCH: usize = 32;
/// Name of the tensor in a file.
const TENSOR: &str = "features";

/// Everything that features depend on, except for the view of the image.
#[derive(Serialize)]
struct Key<'a> {
    version: &'a str,
    /// SHA-256 of the weights.
    weights: Option<&'a str>,
    model: &'a str,
    checksums: &'a BTreeMap<String, String>,
    data: DataConfig,
    statistics: &'a Statistics,
    augment: &'a Augment,
    seed: u64,
    device: Device,
}

/// A set of images, seen in one way.
struct View<'a> {
    /// Name of the set, for the name of the file.
    set: &'static str,
    loader: &'a Loader,
    /// Number of the augmented view; `None` for images as they are.
    augmented: Option<u64>,
}

impl View<'_> {
    fn name(&self) -> String {
        match self.augmented {
            None => self.set.to_owned(),
            Some(view) => format!("{}-view{view}", self.set),
        }
    }
}

impl Experiment {
    /// Replaces the images of an experiment with `finetune.freeze` by features of the frozen network:
    /// one or several augmented views of each training image, and the other images as they are.
    /// Features that `folder` has are read; the others are computed and written there. Any other
    /// experiment does not change.
    ///
    /// # Errors
    /// The data cannot be read, the initial weights have changed, or files cannot be written.
    /// [`RunError::Stopped`] if the observer asked to stop; the same call continues.
    pub fn add_features(
        &mut self,
        folder: Option<&RunFolder>,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let Some(finetune) = self.config.finetune.filter(|finetune| finetune.freeze) else {
            return Ok(());
        };
        if self.data.train.has_features() {
            return Ok(());
        }
        let place = match folder {
            None => None,
            Some(folder) => Some(folder.features().join(self.features_key()?)),
        };
        let data = &self.data;
        let plain = |set, loader| View {
            set,
            loader,
            augmented: None,
        };
        let count = finetune.views_of(data.train.len());
        let augmented = (0..count as u64).map(|view| View {
            augmented: Some(view),
            ..plain("train", &data.train)
        });
        let mut views: Vec<View<'_>> = augmented.collect();
        views.push(plain("validation", &data.validation));
        // Other views of the test images need the whole network.
        let own_test = data.validation_is != "test" && self.config.tta == Tta::Image;
        if own_test {
            views.push(plain("test", &data.test));
        }
        let total = views.iter().map(|view| view.loader.len() as u64).sum();
        let mut maker = Maker {
            experiment: self,
            place: place.as_deref(),
            model: None,
            done: 0,
            total,
            observer,
        };
        let found = device::on_pool_thread(|| {
            let each = views.iter().map(|view| maker.view(view));
            each.collect::<Result<Vec<_>, TrainError>>()
        })?;
        let mut found = found.into_iter();
        let of_train: Vec<Vec<f32>> = found.by_ref().take(count).collect();
        let features = |loader: &Loader, views: Vec<Vec<f32>>| {
            let images = loader.len();
            let width = views.first().map_or(0, |view| view.len() / images);
            let features = Arc::new(Features::new(images, width, views)?);
            loader.clone().with_features(features)
        };
        let train = features(&data.train, of_train)?;
        let validation = features(&data.validation, found.by_ref().take(1).collect())?;
        let test = match own_test {
            true => features(&data.test, found.collect())?,
            false if self.config.tta == Tta::Image => validation.clone(),
            false => data.test.clone(),
        };
        (self.data.train, self.data.validation, self.data.test) = (train, validation, test);
        Ok(())
    }

    /// Name of the folder of the features.
    fn features_key(&self) -> Result<String, FileError> {
        let key = Key {
            version: env!("CARGO_PKG_VERSION"),
            weights: self.init.as_ref().map(|init| init.file().sha256.as_str()),
            model: &self.config.model,
            checksums: &self.data.checksums,
            // The checksums say what the data are, wherever they lie.
            data: DataConfig {
                path: None,
                labels: None,
                ..self.config.data.clone()
            },
            statistics: &self.data.statistics,
            augment: &self.config.augment,
            seed: self.config.seed,
            device: self.config.device,
        };
        let json =
            serde_json::to_vec(&key).map_err(FileError::to_json("the settings of the features"))?;
        Ok(sha256(&json).chars().take(16).collect())
    }
}

/// Computes features, or reads them.
struct Maker<'a> {
    experiment: &'a Experiment,
    place: Option<&'a Path>,
    /// The frozen network in evaluation mode, once it is needed.
    model: Option<Model>,
    /// Images so far.
    done: u64,
    /// Images of all views.
    total: u64,
    observer: &'a mut dyn Observer,
}

impl Maker<'_> {
    /// Features `[image, feature]` of all images of a view.
    fn view(&mut self, view: &View<'_>) -> Result<Vec<f32>, TrainError> {
        let images = view.loader.len();
        let mut all = Vec::new();
        for start in (0..images).step_by(PART) {
            let end = (start + PART).min(images);
            let file = self
                .place
                .map(|place| place.join(format!("{}-{start:07}.safetensors", view.name())));
            let known = file.as_deref().and_then(|file| read(file, end - start));
            let values = match known {
                Some(values) => {
                    self.done += (end - start) as u64;
                    self.observer.features(self.done, self.total);
                    values
                }
                None => {
                    let values = self.part(view, start..end)?;
                    if let Some(file) = &file {
                        write(file, &values, end - start)?;
                    }
                    values
                }
            };
            all.extend(values);
        }
        Ok(all)
    }

    /// Computes the features of some images of a view.
    fn part(
        &mut self,
        view: &View<'_>,
        images: std::ops::Range<usize>,
    ) -> Result<Vec<f32>, TrainError> {
        let model = match &self.model {
            Some(model) => model,
            None => {
                let model = self.experiment.initial_model()?.valid();
                self.model.insert(model)
            }
        };
        let pass = match view.augmented {
            None => view.loader.evaluation(BATCH),
            Some(epoch) => view.loader.epoch(epoch, BATCH),
        };
        let mut values = Vec::new();
        for batch in pass.images((images.start as u32..images.end as u32).collect()) {
            if self.observer.stop() {
                let run = self.place.map_or(PathBuf::new(), Path::to_path_buf);
                return Err(RunError::Stopped { step: 0, run }.into());
            }
            let batch = batch?;
            self.done += batch.len as u64;
            let (images, _) = batch.tensors(&self.experiment.device);
            let features = model.features(images).into_data();
            let features = features.try_into_vec::<f32>();
            values.extend(features.map_err(RunError::compute)?);
            self.observer.features(self.done, self.total);
        }
        Ok(values)
    }
}

/// The values in a file of the features of this many images; `None` if there is no such file.
fn read(file: &Path, images: usize) -> Option<Vec<f32>> {
    let bytes = fs::read(file).ok()?;
    let (mut tensors, metadata) = tensors::from_safetensors(&bytes).ok()?;
    let data = tensors.remove(TENSOR)?;
    let right = data.shape().first() == Some(&images);
    let values = data.try_into_vec::<f32>().ok().filter(|_| right)?;
    // A file that was damaged is computed again.
    (metadata.get("sha256") == Some(&checksum(&values))).then_some(values)
}

fn write(file: &Path, values: &[f32], images: usize) -> Result<(), FileError> {
    if let Some(folder) = file.parent() {
        files::create_folder(folder)?;
    }
    let data = TensorData::new(values.to_vec(), [images, values.len() / images]);
    // Only one key: the order of several would differ between runs.
    let metadata = HashMap::from([("sha256".to_owned(), checksum(values))]);
    let bytes = tensors::to_safetensors([(TENSOR.to_owned(), data)].into(), metadata)?;
    files::write_whole(file, &bytes)
}

fn checksum(values: &[f32]) -> String {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    sha256(&bytes)
}
