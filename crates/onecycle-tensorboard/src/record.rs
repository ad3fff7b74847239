//! Records of a TFRecord file: a length, the data, and a checksum of each.

use std::io::{self, Write};

/// Constant of [`masked_crc`].
const MASK: u32 = 0xa282_ead8;

/// Writes one record: the length of `data` (8 bytes), its [`masked_crc`] (4 bytes), the data, and
/// their [`masked_crc`] (4 bytes), little-endian.
///
/// Format: `tensorflow/core/lib/io/record_writer.h`.
///
/// # Errors
/// Those of `out`.
pub fn write_record(out: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let length = (data.len() as u64).to_le_bytes();
    out.write_all(&length)?;
    out.write_all(&masked_crc(&length).to_le_bytes())?;
    out.write_all(data)?;
    out.write_all(&masked_crc(data).to_le_bytes())
}

/// CRC-32C, rotated right by 15 bits, plus a constant. The mask keeps a checksum of data that
/// contain checksums from being trivial (`tensorflow/core/lib/hash/crc32c.h`).
#[must_use]
pub fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(MASK)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    /// The check value of CRC-32C (RFC 3720 and the catalogue of parametrised CRC algorithms).
    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    /// `tensorboard.compat.tensorflow_stub.pywrap_tensorflow.masked_crc32c(b"123456789")`.
    #[test]
    fn the_checksum_is_masked_like_tensorflows() {
        assert_eq!(masked_crc(b"123456789"), 0xc78a_b0e5);
    }

    /// Printed by TensorBoard's `RecordWriter(file).write(b"abc")`.
    #[test]
    fn a_record_has_the_bytes_of_tensorboards_writer() {
        let mut bytes = Vec::new();
        write_record(&mut bytes, b"abc").unwrap();
        let wanted = [
            3, 0, 0, 0, 0, 0, 0, 0, 176, 153, 73, 14, 97, 98, 99, 110, 87, 241, 33,
        ];
        assert_eq!(bytes, wanted);
    }
}
