//! Events and the summaries in them.
//!
//! Field numbers and names are those of TensorBoard's `event.proto`, `summary.proto` and
//! `tensor.proto`.

use onecycle_protobuf::Message;

/// Version of the format, in the first event of a file.
const VERSION: &str = "brain.Event:2";
/// Data types of `TensorProto`.
const DT_FLOAT: i64 = 1;
const DT_STRING: i64 = 7;

/// An event: a time, a step, and what was measured or said at it.
#[derive(Clone, Debug)]
pub struct Event {
    message: Message,
}

impl Event {
    /// Values at a step. `wall_time` is in seconds since 1970.
    #[must_use]
    pub fn summary(wall_time: f64, step: u64, summary: Summary) -> Self {
        let mut event = Event::at(wall_time, step);
        event.message.message(5, summary.message);
        event
    }

    /// The first event of a file.
    #[must_use]
    pub fn file_version(wall_time: f64) -> Self {
        let mut event = Event::at(wall_time, 0);
        event.message.bytes(3, VERSION);
        event
    }

    /// A session begins at `step`: a reader drops what it knows of this step and later ones from
    /// earlier files.
    #[must_use]
    pub fn session_start(wall_time: f64, step: u64) -> Self {
        const START: i64 = 1;
        let mut log = Message::default();
        log.int(1, START);
        let mut event = Event::at(wall_time, step);
        event.message.message(7, log);
        event
    }

    /// The bytes of the message.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        self.message.finish()
    }

    fn at(wall_time: f64, step: u64) -> Self {
        let mut message = Message::default();
        message.double(1, wall_time);
        if step != 0 {
            message.int(2, i64::try_from(step).unwrap_or(i64::MAX));
        }
        Event { message }
    }
}

/// Values with their tags. A slash in a tag makes groups in TensorBoard's pages.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    message: Message,
}

impl Summary {
    /// Adds a number, for the page Scalars. It may be infinite or NaN.
    #[must_use]
    pub fn scalar(mut self, tag: &str, value: f64) -> Self {
        let mut scalar = Message::default();
        scalar.bytes(1, tag);
        scalar.float(2, value as f32);
        self.message.message(1, scalar);
        self
    }

    /// Adds a text in Markdown, for the page Text.
    #[must_use]
    pub fn text(self, tag: &str, markdown: &str) -> Self {
        let mut tensor = Message::default();
        tensor.int(1, DT_STRING);
        tensor.message(2, Message::default());
        tensor.bytes(8, markdown);
        self.tensor(tag, tensor, Metadata::new("text", DataClass::Tensor))
    }

    /// Adds an image in the format PNG, for the page Images. `None` if `png` does not begin like a
    /// PNG file.
    #[must_use]
    pub fn image(self, tag: &str, png: &[u8]) -> Option<Self> {
        let (width, height) = png_size(png)?;
        let mut tensor = Message::default();
        tensor.int(1, DT_STRING);
        tensor.message(2, shape(3));
        tensor.bytes(8, width.to_string());
        tensor.bytes(8, height.to_string());
        tensor.bytes(8, png);
        let metadata = Metadata::new("images", DataClass::BlobSequence);
        Some(self.tensor(tag, tensor, metadata))
    }

    /// Adds a value that consists of the data of a plugin alone.
    pub(crate) fn plugin(self, tag: &str, plugin: &str, content: Message) -> Self {
        let mut tensor = Message::default();
        tensor.int(1, DT_FLOAT);
        tensor.message(2, shape(1));
        // A repeated field of numbers is packed.
        tensor.bytes(5, 0_f32.to_le_bytes());
        let metadata = Metadata {
            content: content.finish(),
            ..Metadata::new(plugin, DataClass::Tensor)
        };
        self.tensor(tag, tensor, metadata)
    }

    fn tensor(mut self, tag: &str, tensor: Message, metadata: Metadata<'_>) -> Self {
        let mut value = Message::default();
        value.bytes(1, tag);
        value.message(8, tensor);
        value.message(9, metadata.message());
        self.message.message(1, value);
        self
    }
}

/// Which plugin shows a value: `SummaryMetadata`.
struct Metadata<'a> {
    plugin: &'a str,
    content: Vec<u8>,
    class: DataClass,
}

/// `DataClass` of `summary.proto`.
#[derive(Clone, Copy)]
enum DataClass {
    Tensor = 2,
    BlobSequence = 3,
}

impl<'a> Metadata<'a> {
    fn new(plugin: &'a str, class: DataClass) -> Self {
        Metadata {
            plugin,
            content: Vec::new(),
            class,
        }
    }

    fn message(self) -> Message {
        let mut data = Message::default();
        data.bytes(1, self.plugin);
        if !self.content.is_empty() {
            data.bytes(2, self.content);
        }
        let mut metadata = Message::default();
        metadata.message(1, data);
        metadata.int(4, self.class as i64);
        metadata
    }
}

/// The `TensorShapeProto` of a vector.
fn shape(length: i64) -> Message {
    let mut dimension = Message::default();
    dimension.int(1, length);
    let mut shape = Message::default();
    shape.message(2, dimension);
    shape
}

/// Width and height in pixels, from the header of a PNG file.
fn png_size(png: &[u8]) -> Option<(u32, u32)> {
    const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
    // After the signature: length and name of the first chunk, `IHDR`, then width and height.
    let header = png.strip_prefix(SIGNATURE)?.get(4..16)?;
    let size = header.strip_prefix(b"IHDR")?;
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_be_bytes);
    Some((number(&size[..4])?, number(&size[4..])?))
}
