//! `onecycle export`: a trained model as an ONNX file.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args as ClapArgs;
use onecycle_onnx::{BATCH, ElementType, IMAGES, OnnxModel, PROBABILITIES, Port};
use onecycle_train::{
    ConfigError,
    device::{self, Device},
    export, files,
    predict::Classifier,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    args::Format,
    output::{self, AnyError},
};

/// Arguments of `onecycle export`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Export {
    /// Folder of a run, or a model.safetensors
    pub(crate) model: PathBuf,
    /// File to write, which ends in .onnx; an existing file is replaced
    pub(crate) file: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// The written file in the JSON output.
#[derive(Serialize)]
struct Written {
    file: String,
    bytes: usize,
    model: String,
    classes: Vec<String>,
    input: serde_json::Value,
    outputs: Vec<serde_json::Value>,
}

/// Writes the file and prints its inputs and outputs.
pub(crate) fn run(args: &Export) -> Result<ExitCode, AnyError> {
    check_extension(&args.file)?;
    let classifier = Classifier::open(&args.model, &device::open(Device::Cpu)?)?;
    let onnx = export::onnx(&classifier)?;
    let bytes = onnx.to_bytes()?;
    files::write_whole(&args.file, &bytes)?;
    let card = classifier.card();
    match args.format {
        Format::Text => {
            let what = format!("{}, {} classes", card.model, card.classes.len());
            output::text(&text(&args.file, &what, bytes.len(), &onnx))?;
        }
        Format::Json => output::json(&Written {
            file: args.file.display().to_string(),
            bytes: bytes.len(),
            model: card.model.clone(),
            classes: card.classes.clone(),
            input: port(onnx.input()),
            outputs: onnx.outputs().iter().map(port).collect(),
        })?,
    }
    Ok(ExitCode::SUCCESS)
}

fn check_extension(file: &Path) -> Result<(), ConfigError> {
    match file.extension().and_then(OsStr::to_str) {
        Some("onnx") => Ok(()),
        _ => Err(ConfigError::setting(
            "FILE",
            file.display(),
            "a file that ends in .onnx, the only format that is written",
        )),
    }
}

/// The file, a line per input and output, and how to use it.
fn text(file: &Path, what: &str, bytes: usize, onnx: &OnnxModel) -> String {
    let name = output::one_line(&file.display().to_string());
    let mut text = format!("{name}: {what}, {:.2} MB\n\n", bytes as f64 / 1e6);
    let inputs = [("input", onnx.input())];
    let outputs = onnx.outputs().iter().map(|output| ("output", output));
    for (role, port) in inputs.into_iter().chain(outputs) {
        let (element, shape) = (element(port.element), sizes(port).join(", "));
        let line = format!(
            "{role:6}  {:13}  {element:7}  [{shape}]  {}",
            port.name, port.doc
        );
        text += line.trim_end();
        text.push('\n');
    }
    text + &format!(
        "\nPython: onnxruntime.InferenceSession({name:?}).run([\"{PROBABILITIES}\"], \
         {{\"{IMAGES}\": images}})\n"
    )
}

fn port(port: &Port) -> serde_json::Value {
    let free = [json!(BATCH)];
    let sizes = port.shape.iter().map(|size| json!(size));
    json!({
        "name": port.name,
        "type": element(port.element),
        "shape": free.into_iter().chain(sizes).collect::<Vec<_>>(),
    })
}

fn sizes(port: &Port) -> Vec<String> {
    let sizes = port.shape.iter().map(usize::to_string);
    [BATCH.to_owned()].into_iter().chain(sizes).collect()
}

/// The element type as NumPy calls it.
fn element(element: ElementType) -> &'static str {
    match element {
        ElementType::Float32 => "float32",
        ElementType::Uint8 => "uint8",
    }
}
