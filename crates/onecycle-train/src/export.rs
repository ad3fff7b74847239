//! A trained model in formats of other programs.

use onecycle_burn::state;
use onecycle_onnx::{Description, OnnxModel, classifier};
use onecycle_vision::Resize;

use crate::{TrainError, model_file::ModelCard, predict::Classifier};

/// The model as an ONNX file, with normalisation, softmax and class names
/// ([`onecycle_onnx::classifier`] describes inputs and outputs).
///
/// Besides the metadata listed there, the file has `resize` and `background` (how images of other
/// sizes become images of this one, as in [`ModelCard`]), `data` (name of the data set) and `seed`
/// (that of the run, if the model file has it).
///
/// ```no_run
/// use onecycle_train::{device::{self, Device}, export, files, predict::Classifier};
///
/// let classifier = Classifier::open("runs/NAME".as_ref(), &device::open(Device::Cpu)?)?;
/// let onnx = export::onnx(&classifier)?;
/// files::write_whole("model.onnx".as_ref(), &onnx.to_bytes()?)?;
/// # Ok::<(), onecycle_train::TrainError>(())
/// ```
///
/// # Errors
/// [`TrainError::Onnx`] if the weights are not finite.
pub fn onnx(model: &Classifier) -> Result<OnnxModel, TrainError> {
    let ModelCard {
        model: name,
        data,
        classes,
        shape,
        statistics,
        resize,
        background,
        trained_on,
    } = model.card();
    let resize = match resize {
        Resize::Crop => "crop",
        Resize::Squish => "squish",
        Resize::Pad => "pad",
    };
    let seed = trained_on.as_ref().map(|trained| trained.seed.to_string());
    let more = [
        ("resize", Some(resize.to_owned())),
        ("background", Some(format!("{background:?}"))),
        ("data", Some(data.clone())),
        ("seed", seed),
    ];
    let metadata = more
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    let description = Description {
        architecture: name.parse()?,
        shape: *shape,
        classes: classes.clone(),
        statistics: statistics.clone(),
        metadata: metadata.collect(),
    };
    Ok(classifier(&description, state::weights(model.network()))?)
}
