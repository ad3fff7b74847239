//! Reads written files back and checks their structure.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{Device, TensorData};
use onecycle_burn::state::{self, TensorMap};
use onecycle_vision::{
    ImageShape, Statistics,
    models::{Architecture, Model},
    random,
};

use crate::{Description, OnnxError, OnnxModel, classifier};

/// A field of a message.
enum Field {
    Int(u64),
    Bytes(Vec<u8>),
}

/// A message as its fields by number, in order.
struct Parsed(BTreeMap<u64, Vec<Field>>);

impl Parsed {
    fn new(bytes: &[u8]) -> Self {
        let mut fields = BTreeMap::<u64, Vec<Field>>::new();
        let mut at = 0;
        while at < bytes.len() {
            let tag = varint(bytes, &mut at);
            let field = match tag & 7 {
                0 => Field::Int(varint(bytes, &mut at)),
                2 => {
                    let length = varint(bytes, &mut at) as usize;
                    at += length;
                    Field::Bytes(bytes[at - length..at].to_vec())
                }
                other => panic!("wire type {other}"),
            };
            fields.entry(tag >> 3).or_default().push(field);
        }
        Parsed(fields)
    }

    fn ints(&self, number: u64) -> Vec<i64> {
        let fields = self.0.get(&number).into_iter().flatten();
        fields
            .map(|field| match field {
                Field::Int(value) => *value as i64,
                Field::Bytes(_) => panic!("field {number} is not a number"),
            })
            .collect()
    }

    fn all_bytes(&self, number: u64) -> Vec<&[u8]> {
        let fields = self.0.get(&number).into_iter().flatten();
        fields
            .map(|field| match field {
                Field::Bytes(value) => &value[..],
                Field::Int(_) => panic!("field {number} is a number"),
            })
            .collect()
    }

    fn messages(&self, number: u64) -> Vec<Parsed> {
        let all = self.all_bytes(number);
        all.into_iter().map(Parsed::new).collect()
    }

    fn texts(&self, number: u64) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.all_bytes(number).into_iter().map(text).collect()
    }

    fn text(&self, number: u64) -> String {
        self.texts(number).concat()
    }
}

fn varint(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// Name, element type and dimensions of a `ValueInfoProto`.
fn port(info: &Parsed) -> (String, i64, Vec<String>) {
    let tensor = &info.messages(2)[0].messages(1)[0];
    let dims = tensor.messages(2)[0].messages(1);
    let dims = dims.iter().map(|dim| match dim.ints(1)[..] {
        [size] => size.to_string(),
        _ => dim.text(2),
    });
    (info.text(1), tensor.ints(1)[0], dims.collect())
}

fn description(name: &str, shape: ImageShape) -> Description {
    Description {
        architecture: name.parse().unwrap(),
        shape,
        classes: ["cat", "dog", "\"other\", or none"]
            .map(str::to_owned)
            .to_vec(),
        statistics: Statistics {
            mean: vec![0.5; shape.channels],
            std: vec![0.25; shape.channels],
        },
        metadata: vec![("data".to_owned(), "photos".to_owned())],
    }
}

fn weights(description: &Description) -> TensorMap {
    let mut rng = random::stream(1, "initialisation", 0);
    let Description {
        architecture,
        shape,
        ref classes,
        ..
    } = *description;
    let model = Model::new(
        architecture,
        shape,
        classes.len(),
        &mut rng,
        &Device::flex(),
    );
    state::weights(&model.unwrap())
}

fn export(description: &Description) -> OnnxModel {
    classifier(description, weights(description)).unwrap()
}

const COLOUR: ImageShape = ImageShape::new(3, 20, 36);
/// For networks that need larger images.
const PHOTO: ImageShape = ImageShape::new(3, 40, 36);
const GREY: ImageShape = ImageShape::new(1, 28, 28);

#[test]
fn every_network_is_a_well_formed_graph() {
    for name in Architecture::names() {
        let small = name.parse::<Architecture>().unwrap().min_side() <= COLOUR.height;
        let description = description(name, if small { COLOUR } else { PHOTO });
        let bytes = export(&description).to_bytes().unwrap();
        assert_eq!(bytes, export(&description).to_bytes().unwrap());
        let model = Parsed::new(&bytes);
        assert_eq!((model.ints(1), model.text(2)), (vec![7], "onecycle".into()));
        assert_eq!(model.text(3), env!("CARGO_PKG_VERSION"));
        let operators = model.messages(8);
        assert_eq!(operators.len(), 1);
        assert_eq!(operators[0].ints(2), [13]);

        let graph = &model.messages(7)[0];
        assert_eq!(graph.text(2), name);
        let ports = |field| graph.messages(field).iter().map(port).collect::<Vec<_>>();
        let dims = |sizes: &[&str]| sizes.iter().map(|size| (*size).to_owned()).collect();
        let height = description.shape.height.to_string();
        let batch = ["batch", &height, "36", "3"];
        assert_eq!(ports(11), [("images".to_owned(), 2, dims(&batch))]);
        let outputs = ["logits", "probabilities"];
        let expected = outputs.map(|output| (output.to_owned(), 1, dims(&["batch", "3"])));
        assert_eq!(ports(12), expected);

        // Every operation uses values that exist before it, and every constant is used.
        let mut constants = BTreeSet::new();
        for constant in graph.messages(5) {
            let elements: i64 = constant.ints(1).iter().product();
            assert_eq!(constant.ints(2), [1], "float32");
            assert_eq!(constant.all_bytes(9)[0].len() as i64, 4 * elements);
            assert!(constants.insert(constant.text(8)));
        }
        let mut unused = constants.clone();
        let mut known = constants;
        known.insert("images".to_owned());
        let mut names = BTreeSet::new();
        for node in graph.messages(1) {
            assert!(names.insert(node.text(3)), "{name}: {}", node.text(3));
            for input in node.texts(1) {
                assert!(known.contains(&input), "{name}: {input}");
                unused.remove(&input);
            }
            for output in node.texts(2) {
                assert!(known.insert(output.clone()), "{name}: {output} twice");
            }
        }
        assert!(unused.is_empty(), "{name}: {unused:?}");
        assert!(outputs.iter().all(|output| known.contains(*output)));
    }
}

#[test]
fn metadata_are_json() {
    let model = Parsed::new(&export(&description("mlp", COLOUR)).to_bytes().unwrap());
    let entries = model.messages(14);
    let entries: Vec<(String, String)> = entries
        .iter()
        .map(|entry| (entry.text(1), entry.text(2)))
        .collect();
    let expected = [
        ("model", "mlp"),
        ("classes", r#"["cat","dog","\"other\", or none"]"#),
        ("channels", "3"),
        ("image_size", "[20, 36]"),
        ("mean", "[0.5, 0.5, 0.5]"),
        ("std", "[0.25, 0.25, 0.25]"),
        ("data", "photos"),
    ];
    assert_eq!(entries, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
}

/// LeNet-5 has no batch norm, so its tensors arrive unchanged.
#[test]
fn lenet_has_its_layers_and_weights() {
    let description = description("lenet5", GREY);
    let model = Parsed::new(&export(&description).to_bytes().unwrap());
    let graph = &model.messages(7)[0];
    let nodes = graph.messages(1);
    let operators: Vec<String> = nodes.iter().map(|node| node.text(4)).collect();
    assert_eq!(
        operators,
        [
            "Cast",
            "Transpose",
            "Sub",
            "Div",
            "Conv",
            "Relu",
            "MaxPool",
            "Conv",
            "Relu",
            "MaxPool",
            "Flatten",
            "Gemm",
            "Relu",
            "Gemm",
            "Relu",
            "Gemm",
            "Softmax"
        ]
    );
    let attributes = |node: &Parsed| -> Vec<(String, Vec<i64>, Vec<i64>)> {
        let all = node.messages(5);
        all.iter()
            .map(|a| (a.text(1), [a.ints(3), a.ints(8)].concat(), a.ints(20)))
            .collect()
    };
    let ints = |name: &str, values: &[i64]| (name.to_owned(), values.to_vec(), vec![7]);
    let int = |name: &str, value| (name.to_owned(), vec![value], vec![2]);
    let conv = |padding: i64| {
        [
            ints("kernel_shape", &[5, 5]),
            ints("strides", &[1, 1]),
            ints("pads", &[padding; 4]),
        ]
    };
    assert_eq!(attributes(&nodes[0]), [int("to", 1)]);
    assert_eq!(attributes(&nodes[1]), [ints("perm", &[0, 3, 1, 2])]);
    assert_eq!(attributes(&nodes[4]), conv(2));
    assert_eq!(attributes(&nodes[7]), conv(0));
    let pool = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    assert_eq!(attributes(&nodes[6]), pool);
    assert_eq!(attributes(&nodes[11]), [int("transB", 1)]);
    assert_eq!(attributes(&nodes[16]), [int("axis", -1)]);

    let mut expected = weights(&description);
    for constant in graph.messages(5) {
        let name = constant.text(8);
        let values = constant.all_bytes(9)[0].chunks_exact(4);
        let values: Vec<f32> = values
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        match name.as_str() {
            "centred.constant" => assert_eq!(values, [127.5]),
            "normalised.constant" => assert_eq!(values, [63.75]),
            _ => {
                let data = expected.remove(&name).unwrap();
                let dims = data.shape().iter().map(|size| *size as i64);
                assert_eq!(constant.ints(1), dims.collect::<Vec<_>>());
                assert_eq!(values, data.iter::<f32>().collect::<Vec<_>>(), "{name}");
            }
        }
    }
    assert!(expected.is_empty());
}

/// A channel with standard deviation 0 is only shifted, as in training.
#[test]
fn constant_channels_are_not_divided_by_zero() {
    let mut description = description("mlp", GREY);
    description.statistics.std = vec![0.0];
    let model = export(&description);
    let constants = &model.graph.constants;
    let divisor = constants.iter().find(|c| c.name == "normalised.constant");
    assert_eq!(divisor.unwrap().values, [255.0]);
}

#[test]
fn wrong_weights_are_refused() {
    let description = description("convnet", COLOUR);
    let good = weights(&description);
    let refuse = |change: &dyn Fn(&mut TensorMap)| {
        let mut weights = good.clone();
        change(&mut weights);
        classifier(&description, weights).unwrap_err()
    };
    let name = || "bn2.running_var".to_owned();
    let missing = refuse(&|w| drop(w.remove(&name())));
    assert_eq!(missing, OnnxError::MissingTensor { name: name() });
    let data = |values: &[f32], shape: &[usize]| TensorData::new(values.to_vec(), shape.to_vec());
    let unexpected = refuse(&|w| drop(w.insert("fc.scale".to_owned(), data(&[1.0], &[1]))));
    assert!(matches!(unexpected, OnnxError::UnexpectedTensor { name } if name == "fc.scale"));
    let shape = refuse(&|w| drop(w.insert(name(), data(&[1.0; 31], &[31]))));
    let text = shape.to_string();
    assert!(
        text.contains("bn2.running_var") && text.contains("[32]"),
        "{text}"
    );
    let nan = refuse(&|w| drop(w.insert(name(), data(&[f32::NAN; 32], &[32]))));
    assert_eq!(nan, OnnxError::NotFinite { name: name() });
    // A negative variance has no square root: the folded weights would be NaN.
    let negative = refuse(&|w| drop(w.insert(name(), data(&[-1.0; 32], &[32]))));
    assert!(matches!(negative, OnnxError::NotFinite { name } if name == "conv2.weight"));
    let conv = refuse(&|w| drop(w.insert("conv1.weight".into(), data(&[0.0; 8], &[2, 1, 2, 2]))));
    assert!(
        conv.to_string().contains("[out, 3, kernel, kernel]"),
        "{conv}"
    );
}

#[test]
fn wrong_descriptions_are_refused() {
    let refuse = |change: &dyn Fn(&mut Description)| {
        let mut other = description("lenet5", GREY);
        let weights = weights(&other);
        change(&mut other);
        classifier(&other, weights).unwrap_err()
    };
    let classes = refuse(&|d| d.classes.push("bird".to_owned()));
    assert!(matches!(
        classes,
        OnnxError::Classes {
            outputs: 3,
            classes: 4
        }
    ));
    let features = refuse(&|d| d.shape.height = 32);
    assert!(features.to_string().contains("[120, 480]"), "{features}");
    let small = refuse(&|d| d.shape = ImageShape::new(1, 28, 9));
    let expected = OnnxError::ImageTooSmall {
        layer: "conv2".to_owned(),
        window: 5,
        height: 14,
        width: 4,
    };
    assert_eq!(small, expected);
    let statistics = refuse(&|d| d.statistics.mean = vec![0.1; 3]);
    assert!(statistics.to_string().contains("3 means"), "{statistics}");
}
