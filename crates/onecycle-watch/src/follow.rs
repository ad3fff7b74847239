//! Follows a file that grows line by line: [`Follower`] returns only what is new.
//!
//! A resumed run truncates its records and writes on, so a file may also shrink, or shrink and grow
//! between two looks. The follower keeps the last line that it has read and checks that it is still
//! there; if not, it begins again.

use std::{
    fs::File,
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    path::Path,
    time::SystemTime,
};

/// Bytes that one look reads at most, so that a large file does not delay the others.
const CHUNK: u64 = 16 << 20;

/// Position in a growing file.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// Bytes of complete lines that were read.
    offset: u64,
    /// The last of these lines, with its line feed.
    last: Vec<u8>,
    /// Length and time of change at the last look that reached the end.
    seen: Option<(u64, Option<SystemTime>)>,
}

/// What a look has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// Whether everything read before is void, because the file was truncated or replaced.
    pub(crate) restarted: bool,
    /// The new complete lines, with their line feeds.
    pub(crate) text: Vec<u8>,
    /// Whether more lines can be read at once.
    pub(crate) more: bool,
}

impl Follower {
    /// Reads the complete lines that are new. A missing file is an empty one.
    ///
    /// # Errors
    /// The file cannot be read, or is not a regular file.
    pub(crate) fn look(&mut self, path: &Path) -> io::Result<News> {
        let mut news = News::default();
        let metadata = match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                news.restarted = self.offset > 0;
                *self = Follower::default();
                return Ok(news);
            }
            metadata => metadata?,
        };
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let now = (metadata.len(), metadata.modified().ok());
        if self.seen == Some(now) {
            return Ok(news);
        }
        let mut file = File::open(path)?;
        if !self.is_still_there(&mut file)? {
            *self = Follower::default();
            news.restarted = true;
        }
        file.seek(SeekFrom::Start(self.offset))?;
        file.take(CHUNK).read_to_end(&mut news.text)?;
        news.more = news.text.len() as u64 == CHUNK;
        let complete = news.text.iter().rposition(|&byte| byte == b'\n');
        news.text.truncate(complete.map_or(0, |end| end + 1));
        if let Some(last) = news.text.split_inclusive(|&byte| byte == b'\n').next_back() {
            self.last = last.to_vec();
        }
        self.offset += news.text.len() as u64;
        self.seen = (!news.more).then_some(now);
        Ok(news)
    }

    /// Whether the file still has the last line that was read, at its place.
    fn is_still_there(&self, file: &mut File) -> io::Result<bool> {
        let mut found = vec![0; self.last.len()];
        file.seek(SeekFrom::Start(self.offset - self.last.len() as u64))?;
        match file.read_exact(&mut found) {
            Ok(()) => Ok(found == self.last),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use std::{fs, io::Write};

    use super::*;

    fn text(news: News) -> (bool, String) {
        (news.restarted, String::from_utf8(news.text).unwrap())
    }

    #[test]
    fn only_new_complete_lines_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steps.jsonl");
        let mut follower = Follower::default();
        let mut look = || text(follower.look(&path).unwrap());
        assert_eq!(look(), (false, String::new()), "no file yet");
        fs::write(&path, "one\ntw").unwrap();
        assert_eq!(look(), (false, "one\n".to_owned()));
        assert_eq!(look(), (false, String::new()));
        let append = |text: &str| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        append("o\nthree\n");
        assert_eq!(look(), (false, "two\nthree\n".to_owned()));
    }

    #[test]
    fn a_truncated_file_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("steps.jsonl");
        let mut follower = Follower::default();
        let mut look = |contents: Option<&str>| {
            match contents {
                Some(contents) => fs::write(&path, contents).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            text(follower.look(&path).unwrap())
        };
        assert_eq!(
            look(Some("a1\na2\na3\n")),
            (false, "a1\na2\na3\n".to_owned())
        );
        assert_eq!(look(Some("a1\n")), (true, "a1\n".to_owned()), "shorter");
        assert_eq!(
            look(Some("b1\nb2\n")),
            (true, "b1\nb2\n".to_owned()),
            "longer, but other lines"
        );
        assert_eq!(look(None), (true, String::new()));
        assert_eq!(look(Some("c1\n")), (false, "c1\n".to_owned()));
    }

    #[test]
    fn a_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        Follower::default().look(folder.path()).unwrap_err();
    }
}
