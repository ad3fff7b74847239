//! Writes messages in the wire format of protocol buffers. The principal type is [`Message`].
//!
//! A message is a sequence of fields. A field is a tag `number << 3 | type` and a value. Type 0 is
//! a varint (seven bits per byte, lowest first), type 1 eight bytes, type 2 a length and that many
//! bytes, type 5 four bytes; numbers are little-endian. See the
//! [encoding guide](https://protobuf.dev/programming-guides/encoding/).
//!
//! Written by hand, because a generator for the few messages of ONNX and TensorBoard would add more
//! to the build time than these lines have.

const VARINT: u64 = 0;
const EIGHT_BYTES: u64 = 1;
const BYTES: u64 = 2;
const FOUR_BYTES: u64 = 5;

/// A message that is being written.
///
/// ```
/// use onecycle_protobuf::Message;
///
/// let mut message = Message::default();
/// message.int(1, 150);
/// assert_eq!(message.finish(), [0x08, 0x96, 0x01]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// Adds an integer field. Negative numbers take ten bytes, as in the original.
    pub fn int(&mut self, field: u64, value: i64) {
        self.tag(field, VARINT);
        self.varint(value as u64);
    }

    /// Adds a field of type `double`.
    pub fn double(&mut self, field: u64, value: f64) {
        self.tag(field, EIGHT_BYTES);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a field of type `float`.
    pub fn float(&mut self, field: u64, value: f32) {
        self.tag(field, FOUR_BYTES);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a field of bytes or text.
    pub fn bytes(&mut self, field: u64, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.tag(field, BYTES);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    /// Adds a field that is a message.
    pub fn message(&mut self, field: u64, value: Message) {
        self.bytes(field, value.bytes);
    }

    /// The finished message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn tag(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of the encoding guide: field 1 = 150, field 2 = "testing", and field 3 with the
    /// first message inside.
    #[test]
    fn fields_have_the_published_bytes() {
        let mut inner = Message::default();
        inner.int(1, 150);
        assert_eq!(inner.bytes, [0x08, 0x96, 0x01]);
        let mut text = Message::default();
        text.bytes(2, "testing");
        assert_eq!(text.finish(), b"\x12\x07testing");
        let mut outer = Message::default();
        outer.message(3, inner);
        assert_eq!(outer.finish(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    /// Bytes printed by Python: `struct.pack('<d', 1.5)` and `struct.pack('<f', -0.5)`.
    #[test]
    fn floating_point_numbers_are_little_endian() {
        let mut message = Message::default();
        message.double(1, 1.5);
        message.float(2, -0.5);
        let (double, float) = ([0, 0, 0, 0, 0, 0, 0xf8, 0x3f], [0, 0, 0, 0xbf]);
        assert_eq!(
            message.finish(),
            [&[0x09][..], &double, &[0x15], &float].concat()
        );
    }

    #[test]
    fn numbers_beyond_one_byte_and_below_zero() {
        let mut message = Message::default();
        message.int(1, -2);
        message.int(20, 0);
        let minus_two = [
            0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
        ];
        let zero = [0xa0, 0x01, 0x00];
        assert_eq!(message.finish(), [&minus_two[..], &zero].concat());
    }
}
