//! The messages of an ONNX file, as far as classifiers need them.
//!
//! Field numbers are those of
//! [onnx.proto](https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), written behind each field.

use onecycle_protobuf::Message;

/// Version of the operators. 13 is the first with today's `Softmax`; a runtime also reads files of
/// every older version, so the lowest one that suffices suits the most runtimes.
const OPSET: i64 = 13;
/// Version of the file format that came with [`OPSET`] (ONNX 1.8, November 2020).
const IR_VERSION: i64 = 7;

/// Type of the elements of a tensor. The values are those of `TensorProto.DataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElementType {
    /// 32-bit floating point.
    Float32 = 1,
    /// Bytes.
    Uint8 = 2,
}

/// An input or output of the file. Its first dimension is the number of images, which is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name to feed or fetch it by.
    pub name: &'static str,
    /// Type of its elements.
    pub element: ElementType,
    /// Sizes of the other dimensions.
    pub shape: Vec<usize>,
    /// Its contents in a few words.
    pub doc: String,
}

/// Name of the first dimension of every [`Port`].
pub const BATCH: &str = "batch";

/// Setting of an operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Name of the operator, such as `Conv`.
    pub(crate) operator: &'static str,
    pub(crate) inputs: Vec<String>,
    pub(crate) output: String,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
}

/// Constant float32 values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Constant {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// The operations in the order of execution, and their constants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: Vec<Constant>,
}

/// A classifier as the contents of an ONNX file.
#[derive(Debug, Clone, PartialEq)]
pub struct OnnxModel {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) graph: Graph,
    pub(crate) input: Port,
    pub(crate) outputs: Vec<Port>,
    pub(crate) metadata: Vec<(String, String)>,
}

impl OnnxModel {
    /// The input.
    pub fn input(&self) -> &Port {
        &self.input
    }

    /// The outputs.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Metadata as keys and values, in the order of the file.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    /// The bytes of the file. The same model gives the same bytes.
    ///
    /// # Errors
    /// [`OnnxError::TooLarge`](crate::OnnxError::TooLarge).
    pub fn to_bytes(&self) -> Result<Vec<u8>, crate::OnnxError> {
        let mut model = Message::default();
        model.int(1, IR_VERSION); // ir_version
        model.bytes(2, "onecycle"); // producer_name
        model.bytes(3, env!("CARGO_PKG_VERSION")); // producer_version
        model.bytes(6, &self.doc); // doc_string
        model.message(7, self.graph_message()); // graph
        let mut operators = Message::default();
        operators.bytes(1, ""); // domain: that of ONNX itself
        operators.int(2, OPSET); // version
        model.message(8, operators); // opset_import
        for (key, value) in &self.metadata {
            let mut entry = Message::default();
            entry.bytes(1, key); // key
            entry.bytes(2, value); // value
            model.message(14, entry); // metadata_props
        }
        let bytes = model.finish();
        check_size(bytes.len())?;
        Ok(bytes)
    }

    fn graph_message(&self) -> Message {
        let mut graph = Message::default();
        for node in &self.graph.nodes {
            graph.message(1, node.message()); // node
        }
        graph.bytes(2, &self.name); // name
        for constant in &self.graph.constants {
            graph.message(5, constant.message()); // initializer
        }
        graph.message(11, self.input.message()); // input
        for output in &self.outputs {
            graph.message(12, output.message()); // output
        }
        graph
    }
}

/// Refuses files that readers of protocol buffers refuse.
fn check_size(bytes: usize) -> Result<(), crate::OnnxError> {
    match i32::try_from(bytes) {
        Ok(_) => Ok(()),
        Err(_) => Err(crate::OnnxError::TooLarge { bytes }),
    }
}

impl Node {
    fn message(&self) -> Message {
        let mut node = Message::default();
        for input in &self.inputs {
            node.bytes(1, input); // input
        }
        node.bytes(2, &self.output); // output
        node.bytes(3, &self.name); // name
        node.bytes(4, self.operator); // op_type
        for (name, value) in &self.attributes {
            let mut attribute = Message::default();
            attribute.bytes(1, name); // name
            match value {
                Attribute::Int(value) => {
                    attribute.int(3, *value); // i
                    attribute.int(20, 2); // type: INT
                }
                Attribute::Ints(values) => {
                    for value in values {
                        attribute.int(8, *value); // ints
                    }
                    attribute.int(20, 7); // type: INTS
                }
            }
            node.message(5, attribute); // attribute
        }
        node
    }
}

impl Constant {
    fn message(&self) -> Message {
        let mut tensor = Message::default();
        for size in &self.shape {
            tensor.int(1, *size as i64); // dims
        }
        tensor.int(2, ElementType::Float32 as i64); // data_type
        tensor.bytes(8, &self.name); // name
        let bytes: Vec<u8> = self.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensor.bytes(9, bytes); // raw_data
        tensor
    }
}

impl Port {
    fn message(&self) -> Message {
        let mut shape = Message::default();
        let mut batch = Message::default();
        batch.bytes(2, BATCH); // dim_param
        shape.message(1, batch); // dim
        for size in &self.shape {
            let mut dimension = Message::default();
            dimension.int(1, *size as i64); // dim_value
            shape.message(1, dimension); // dim
        }
        let mut tensor = Message::default();
        tensor.int(1, self.element as i64); // elem_type
        tensor.message(2, shape); // shape
        let mut kind = Message::default();
        kind.message(1, tensor); // tensor_type
        let mut port = Message::default();
        port.bytes(1, self.name); // name
        port.message(2, kind); // type
        port.bytes(3, &self.doc); // doc_string
        port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_have_at_most_two_gigabytes() {
        assert_eq!(check_size((1 << 31) - 1), Ok(()));
        assert_eq!(
            check_size(1 << 31),
            Err(crate::OnnxError::TooLarge { bytes: 1 << 31 })
        );
    }
}
