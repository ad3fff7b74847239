//! Reads the tensors of a file that `torch.save` wrote before PyTorch 1.6.
//!
//! The file is a sequence of pickles (protocol 2): a magic number, the version 1001, sizes of the
//! machine's integers, a dictionary of tensors that refer to storages, and the list of the storages'
//! keys. The storages follow in the order of the keys, each as its number of elements (8 bytes, little
//! endian) and the elements.
//!
//! A pickle is a program. This reader knows the instructions that build dictionaries, tuples, lists,
//! numbers, text and tensors, and refuses every other one, so that it runs nothing. It is only used for
//! files whose checksum is known.

use std::collections::HashMap;

/// A tensor in single precision, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// Identifies the format: `torch.serialization.MAGIC_NUMBER`, little endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The only version of the format.
const VERSION: i64 = 1001;

/// The tensors of single precision in a file, in its order. Integers, which count the batches of batch
/// norm, are left out.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, String> {
    let mut input = Input { bytes, at: 0 };
    if run(&mut input)? != Value::Bytes(MAGIC.to_vec()) {
        return Err("it does not begin with PyTorch's magic number".to_owned());
    }
    if run(&mut input)? != Value::Int(VERSION) {
        return Err(format!("its format is not version {VERSION}"));
    }
    run(&mut input)?;
    let Value::Dict(entries) = run(&mut input)? else {
        return Err("it is not a dictionary of tensors".to_owned());
    };
    let Value::List(keys) = run(&mut input)? else {
        return Err("the list of its storages is missing".to_owned());
    };
    let sizes = element_sizes(&entries);
    let mut storages: HashMap<String, &[u8]> = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else {
            return Err("the key of a storage is not text".to_owned());
        };
        let count = u64::from_le_bytes(input.array()?);
        let size = *sizes.get(&key).ok_or("a storage belongs to no tensor")?;
        let length = usize::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(size))
            .ok_or("a storage is too large")?;
        storages.insert(key, input.take(length)?);
    }
    let mut tensors = Vec::new();
    for (name, value) in entries {
        let (Value::Text(name), Value::Tensor(view)) = (name, value) else {
            return Err("an entry is not a named tensor".to_owned());
        };
        if view.storage.kind == Kind::Float {
            let storage = storages.get(&view.storage.key);
            let storage = storage.ok_or_else(|| format!("the storage of `{name}` is missing"))?;
            let tensor = view
                .gather(storage)
                .ok_or_else(|| format!("`{name}` exceeds its storage"))?;
            tensors.push((name, tensor));
        }
    }
    Ok(tensors)
}

/// Bytes per element of each storage.
fn element_sizes(entries: &[(Value, Value)]) -> HashMap<String, usize> {
    let size = |(_, value): &(Value, Value)| match value {
        Value::Tensor(view) => Some((view.storage.key.clone(), view.storage.kind.size())),
        _ => None,
    };
    entries.iter().filter_map(size).collect()
}

/// Element type of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Long,
}

impl Kind {
    fn size(self) -> usize {
        match self {
            Kind::Float => 4,
            Kind::Long => 8,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Storage {
    kind: Kind,
    key: String,
}

/// A tensor as a part of a storage.
#[derive(Clone, Debug, PartialEq)]
struct View {
    storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    /// The elements in row-major order; `None` if the storage is too small.
    fn gather(&self, storage: &[u8]) -> Option<Tensor> {
        let (floats, _) = storage.as_chunks::<4>();
        let count = self
            .shape
            .iter()
            .try_fold(1_usize, |n, side| n.checked_mul(*side))?;
        // Strides of 0 could make a small storage large.
        if count > floats.len() || self.shape.len() != self.strides.len() {
            return None;
        }
        let mut values = Vec::with_capacity(count);
        for index in 0..count {
            let (mut rest, mut at) = (index, self.offset);
            for (side, stride) in self.shape.iter().zip(&self.strides).rev() {
                at = at.checked_add((rest % side).checked_mul(*stride)?)?;
                rest /= side;
            }
            values.push(f32::from_le_bytes(*floats.get(at)?));
        }
        Some(Tensor {
            shape: self.shape.clone(),
            values,
        })
    }
}

/// An object of a pickle.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of more than 8 bytes, little endian.
    Bytes(Vec<u8>),
    Text(String),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A class or function, by name.
    Global(String),
    Storage(Storage),
    Tensor(View),
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or("it ends too early")?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?
            .try_into()
            .map_err(|_| "it ends too early".to_owned())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.ok_or("it ends too early")?)?;
        self.at += 1;
        text(line)
    }
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| "a text is not UTF-8".to_owned())
}

/// Objects of the present frame and of the frames around it, and remembered objects.
#[derive(Default)]
struct Machine {
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl Machine {
    fn pop(&mut self) -> Result<Value, String> {
        let above_mark = self.stack.len() > self.marks.last().copied().unwrap_or(0);
        let value = above_mark.then(|| self.stack.pop()).flatten();
        value.ok_or_else(|| "an instruction has no operand".to_owned())
    }

    /// The objects since the last mark.
    fn since_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn tuple(&mut self, count: usize) -> Result<(), String> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.stack.push(Value::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<(), String> {
        let value = self.stack.last().ok_or("an instruction has no operand")?;
        // Containers are remembered while they are empty and never needed again; copies of full ones
        // could grow without bound.
        let value = match value {
            Value::List(items) if !items.is_empty() => Value::None,
            Value::Dict(items) if !items.is_empty() => Value::None,
            other => other.clone(),
        };
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), String> {
        let value = self.memo.get(&key).ok_or("an object was not remembered")?;
        self.stack.push(value.clone());
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::Dict(entries)) = self.stack.last_mut() else {
            return Err("items are set in what is not a dictionary".to_owned());
        };
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            entries.push((key, items.next().ok_or("a key has no value")?));
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), String> {
        let Some(Value::List(list)) = self.stack.last_mut() else {
            return Err("items are appended to what is not a list".to_owned());
        };
        list.extend(items);
        Ok(())
    }
}

/// Runs one pickle.
fn run(input: &mut Input) -> Result<Value, String> {
    let mut machine = Machine::default();
    loop {
        match input.byte()? {
            b'.' => return machine.pop(),
            // PROTO
            0x80 => {
                let version = input.byte()?;
                if version != 2 {
                    return Err(format!("a pickle of protocol {version}, expected 2"));
                }
            }
            b'(' => machine.marks.push(machine.stack.len()),
            b'N' => machine.stack.push(Value::None),
            0x88 => machine.stack.push(Value::Bool(true)),
            0x89 => machine.stack.push(Value::Bool(false)),
            b'K' => {
                let value = input.byte()?;
                machine.stack.push(Value::Int(i64::from(value)));
            }
            b'M' => {
                let value = u16::from_le_bytes(input.array()?);
                machine.stack.push(Value::Int(i64::from(value)));
            }
            b'J' => {
                let value = i32::from_le_bytes(input.array()?);
                machine.stack.push(Value::Int(i64::from(value)));
            }
            // LONG1
            0x8a => {
                let count = input.byte()?;
                let bytes = input.take(usize::from(count))?;
                machine.stack.push(long(bytes));
            }
            b'X' => {
                let count = u32::from_le_bytes(input.array()?);
                let value = text(input.take(count as usize)?)?;
                machine.stack.push(Value::Text(value));
            }
            b'q' => {
                let key = input.byte()?;
                machine.remember(u32::from(key))?;
            }
            b'r' => {
                let key = u32::from_le_bytes(input.array()?);
                machine.remember(key)?;
            }
            b'h' => {
                let key = input.byte()?;
                machine.recall(u32::from(key))?;
            }
            b'j' => {
                let key = u32::from_le_bytes(input.array()?);
                machine.recall(key)?;
            }
            b'}' => machine.stack.push(Value::Dict(Vec::new())),
            b']' => machine.stack.push(Value::List(Vec::new())),
            b')' => machine.stack.push(Value::Tuple(Vec::new())),
            b't' => {
                let items = machine.since_mark()?;
                machine.stack.push(Value::Tuple(items));
            }
            count @ 0x85..=0x87 => machine.tuple(usize::from(count - 0x84))?,
            b's' => {
                let value = machine.pop()?;
                let key = machine.pop()?;
                machine.set_items(vec![key, value])?;
            }
            b'u' => {
                let items = machine.since_mark()?;
                machine.set_items(items)?;
            }
            b'a' => {
                let item = machine.pop()?;
                machine.append(vec![item])?;
            }
            b'e' => {
                let items = machine.since_mark()?;
                machine.append(items)?;
            }
            // GLOBAL
            b'c' => {
                let (module, name) = (input.line()?, input.line()?);
                machine
                    .stack
                    .push(Value::Global(format!("{module}.{name}")));
            }
            // BINPERSID: the storage of a tensor
            b'Q' => {
                let id = machine.pop()?;
                machine.stack.push(Value::Storage(storage(id)?));
            }
            // REDUCE
            b'R' => {
                let arguments = machine.pop()?;
                let function = machine.pop()?;
                machine.stack.push(call(function, arguments)?);
            }
            // BUILD: attributes of a dictionary, such as PyTorch's `_metadata`
            b'b' => {
                machine.pop()?;
            }
            other => {
                return Err(format!(
                    "it has the instruction {other:#04x}, which is not run"
                ));
            }
        }
    }
}

/// An integer, little endian in two's complement.
fn long(bytes: &[u8]) -> Value {
    if bytes.len() > 8 {
        return Value::Bytes(bytes.to_vec());
    }
    let sign = bytes
        .last()
        .map_or(0, |last| if *last >= 0x80 { 0xff } else { 0 });
    let mut whole = [sign; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(whole))
}

/// `('storage', class, key, device, number of elements, view)`.
fn storage(id: Value) -> Result<Storage, String> {
    if let Value::Tuple(items) = id
        && let [Value::Text(tag), Value::Global(class), Value::Text(key), ..] = &items[..]
        && tag == "storage"
    {
        let kind = match class.as_str() {
            "torch.FloatStorage" => Kind::Float,
            "torch.LongStorage" => Kind::Long,
            other => return Err(format!("a storage is {other}, expected torch.FloatStorage")),
        };
        return Ok(Storage {
            kind,
            key: key.clone(),
        });
    }
    Err("an object is stored outside, and is not a storage".to_owned())
}

/// The result of one of the two known functions.
fn call(function: Value, arguments: Value) -> Result<Value, String> {
    let (Value::Global(function), Value::Tuple(arguments)) = (function, arguments) else {
        return Err("what is called is not a function".to_owned());
    };
    match (function.as_str(), &arguments[..]) {
        ("collections.OrderedDict", []) => Ok(Value::Dict(Vec::new())),
        (
            "torch._utils._rebuild_tensor_v2",
            [
                Value::Storage(storage),
                Value::Int(offset),
                Value::Tuple(shape),
                Value::Tuple(strides),
                ..,
            ],
        ) => Ok(Value::Tensor(View {
            storage: storage.clone(),
            offset: usize::try_from(*offset).map_err(|_| "an offset is negative")?,
            shape: sizes(shape)?,
            strides: sizes(strides)?,
        })),
        (other, _) => Err(format!("it calls {other}, which is not run")),
    }
}

fn sizes(values: &[Value]) -> Result<Vec<usize>, String> {
    let size = |value: &Value| match value {
        Value::Int(size) => usize::try_from(*size).ok(),
        _ => None,
    };
    let sizes: Option<Vec<usize>> = values.iter().map(size).collect();
    sizes.ok_or_else(|| "a shape is not a tuple of sizes".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    /// Written by PyTorch 2.15:
    /// ```python
    /// layer = torch.nn.BatchNorm2d(2)
    /// layer.weight.data = torch.tensor([1.5, -2.0])
    /// tensors = layer.state_dict()
    /// tensors["matrix"] = torch.arange(6.0).reshape(2, 3).t()
    /// torch.save(tensors, "state_dict.pth", _use_new_zipfile_serialization=False)
    /// ```
    const FILE: &[u8] = include_bytes!("../../tests/data/state_dict.pth");

    #[test]
    fn tensors_are_read_in_row_major_order() {
        let tensors = read(FILE).unwrap();
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["weight", "bias", "running_mean", "running_var", "matrix"]
        );
        assert_eq!(tensors[0].1.values, [1.5, -2.0]);
        assert_eq!(tensors[3].1.values, [1.0, 1.0]);
        assert_eq!(tensors[4].1.shape, [3, 2]);
        assert_eq!(tensors[4].1.values, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    }

    #[test]
    fn damaged_files_are_refused_or_read() {
        for length in 0..FILE.len() {
            assert!(read(&FILE[..length]).is_err(), "{length} bytes");
        }
        let mut refused = 0;
        for at in 0..FILE.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut bytes = FILE.to_vec();
                bytes[at] ^= flip;
                refused += usize::from(read(&bytes).is_err());
            }
        }
        assert!(refused > FILE.len(), "{refused} refused");
    }

    #[test]
    fn programs_are_not_run() {
        let start = FILE.len() - FILE.len();
        let magic = &FILE[start..start + 15];
        let version = b"\x80\x02M\xe9\x03.\x80\x02}.";
        let program = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R.";
        let error = read(&[magic, version, program].concat()).unwrap_err();
        assert!(
            error.contains("it calls os.system, which is not run"),
            "{error}"
        );
    }
}
