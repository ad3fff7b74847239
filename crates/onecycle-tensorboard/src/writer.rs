use std::io::{self, Write};

use crate::{event::Event, record::write_record};

/// Writes the events of one file.
#[derive(Debug)]
pub struct EventWriter<W> {
    out: W,
}

impl<W: Write> EventWriter<W> {
    /// Begins a file: its version, and that a session starts at step 0, so that a reader forgets the
    /// events of earlier files of the same folder. `wall_time` is in seconds since 1970.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, wall_time: f64) -> io::Result<Self> {
        let mut writer = EventWriter { out };
        writer.write(Event::file_version(wall_time))?;
        writer.write(Event::session_start(wall_time, 0))?;
        Ok(writer)
    }

    /// Writes an event.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write(&mut self, event: Event) -> io::Result<()> {
        write_record(&mut self.out, &event.to_bytes())
    }

    /// Hands everything written so far to the system.
    ///
    /// # Errors
    /// Those of the file.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
