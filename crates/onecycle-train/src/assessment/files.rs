//! The files of an [`Assessment`], for programs, and the pictures of its worst images.

use std::{fmt::Write as _, path::Path};

use onecycle_plot::format::csv_field;
use onecycle_vision::Split;

use super::{Assessment, thumbnail};
use crate::{
    TrainError,
    files::{create_folder, read_json, write_json, write_whole},
};

/// Name of the complete assessment.
const JSON: &str = "assessment.json";

/// Where to write the pictures of the worst images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pictures<'a> {
    /// The folder.
    pub(crate) folder: &'a Path,
    /// The images of the assessment.
    pub(crate) images: &'a Split,
}

impl Assessment {
    /// Writes `confusion.csv`, `classes.csv`, `reliability.csv`, `worst.csv` and
    /// `assessment.json`, the last one with everything, into `folder`. Creates the folder if it
    /// does not exist. With `pictures`, also writes a PNG of each of the worst images, if they have
    /// 1 or 3 channels.
    ///
    /// - `confusion.csv`: one row per true class, one column per predicted class. The first column
    ///   has the name of the true class.
    /// - `classes.csv`: `class,images,predicted,correct,precision,recall,f1`. A ratio without a
    ///   denominator is empty.
    /// - `reliability.csv`: `low,high,images,confidence,accuracy`, one row per bin. Means of empty
    ///   bins are empty.
    /// - `worst.csv`: `index,file,class,prediction,probability,loss,picture`, the worst one first.
    ///
    /// # Errors
    /// Files cannot be written.
    pub(crate) fn write(
        &mut self,
        folder: &Path,
        pictures: Option<Pictures<'_>>,
    ) -> Result<(), TrainError> {
        create_folder(folder)?;
        if let Some(pictures) = pictures {
            self.write_pictures(pictures)?;
        }
        for (name, text) in [
            ("confusion.csv", self.confusion_csv()),
            ("classes.csv", self.classes_csv()),
            ("reliability.csv", self.reliability_csv()),
            ("worst.csv", self.worst_csv()),
        ] {
            write_whole(&folder.join(name), text.as_bytes())?;
        }
        Ok(write_json(&folder.join(JSON), "the assessment", self)?)
    }

    /// Reads the assessment in `folder`; `None` without one, as in runs of older versions.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, TrainError> {
        match folder.join(JSON) {
            path if path.exists() => Ok(Some(read_json(&path)?)),
            _ => Ok(None),
        }
    }

    fn write_pictures(&mut self, pictures: Pictures<'_>) -> Result<(), TrainError> {
        let Pictures { folder, images } = pictures;
        if !matches!(images.shape().channels, 1 | 3) {
            return Ok(());
        }
        create_folder(folder)?;
        for (rank, worst) in self.worst.iter_mut().enumerate() {
            let name = format!("worst-{:02}.png", rank + 1);
            let picture = thumbnail::png(images.image(worst.index as usize), images.shape())?;
            write_whole(&folder.join(&name), &picture)?;
            worst.picture = Some(name);
        }
        Ok(())
    }

    fn confusion_csv(&self) -> String {
        let mut text = "class".to_owned();
        for class in &self.classes {
            let _ = write!(text, ",{}", csv_field(&class.class));
        }
        text.push('\n');
        for (class, row) in self.classes.iter().zip(&self.confusion) {
            let counts: Vec<String> = row.iter().map(u64::to_string).collect();
            let _ = writeln!(text, "{},{}", csv_field(&class.class), counts.join(","));
        }
        text
    }

    fn classes_csv(&self) -> String {
        let mut text = "class,images,predicted,correct,precision,recall,f1\n".to_owned();
        for class in &self.classes {
            let score = &class.score;
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{}",
                csv_field(&class.class),
                score.images,
                score.predicted,
                score.correct,
                number(score.precision),
                number(score.recall),
                number(score.f1),
            );
        }
        text
    }

    fn reliability_csv(&self) -> String {
        let mut text = "low,high,images,confidence,accuracy\n".to_owned();
        for bin in &self.reliability {
            let _ = writeln!(
                text,
                "{},{},{},{},{}",
                bin.low,
                bin.high,
                bin.images,
                number(bin.confidence),
                number(bin.accuracy),
            );
        }
        text
    }

    fn worst_csv(&self) -> String {
        let mut text = "index,file,class,prediction,probability,loss,picture\n".to_owned();
        for worst in &self.worst {
            let word = |word: &Option<String>| {
                let word = word.as_deref().unwrap_or_default();
                csv_field(word).into_owned()
            };
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{}",
                worst.index,
                word(&worst.file),
                csv_field(&worst.class),
                word(&worst.prediction),
                number(worst.probability),
                worst.loss,
                word(&worst.picture),
            );
        }
        text
    }
}

/// A number that reads back to the same bits, or nothing.
fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::assessment::Answers;
    use onecycle_vision::ImageShape;
    use std::fs;

    #[test]
    fn files_have_every_part_and_quote_names() {
        let classes = ["a,\"b\"".to_owned(), "dog".to_owned(), "eel".to_owned()];
        let split = Split::new(ImageShape::new(1, 2, 2), vec![9; 8], vec![0, 1]).unwrap();
        let split = split
            .with_names(vec!["a,\"b\"/1.png".to_owned(), "dog/2.png".to_owned()])
            .unwrap();
        let mut answers = Answers::default();
        answers.add(&[2.0, 0.0, 0.0, 5.0, 0.0, 0.0], &[0, 1], &[0, 1]);
        let mut made = Assessment::new(&answers, &classes, &split, "test images").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (folder, figures) = (dir.path().join("assessment"), dir.path().join("figures"));
        let pictures = Pictures {
            folder: &figures,
            images: &split,
        };
        made.write(&folder, Some(pictures)).unwrap();
        assert_eq!(Assessment::read(&folder).unwrap().unwrap(), made);
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(
            read("confusion.csv"),
            "class,\"a,\"\"b\"\"\",dog,eel\n\"a,\"\"b\"\"\",1,0,0\ndog,1,0,0\neel,0,0,0\n"
        );
        assert_eq!(
            read("classes.csv"),
            "class,images,predicted,correct,precision,recall,f1\n\
             \"a,\"\"b\"\"\",1,2,1,0.5,1,0.6666666666666666\n\
             dog,1,0,0,,0,0\neel,0,0,0,,,\n"
        );
        assert_eq!(read("reliability.csv").lines().count(), 16);
        let worst = read("worst.csv");
        let line = worst.lines().nth(1).unwrap();
        assert!(
            line.starts_with("1,dog/2.png,dog,\"a,\"\"b\"\"\",0.98"),
            "{line}"
        );
        assert!(line.ends_with(",worst-01.png"), "{line}");
        assert!(worst.contains("\n0,\"a,\"\"b\"\"/1.png\","), "{worst}");
        for name in ["worst-01.png", "worst-02.png"] {
            let picture = fs::read(figures.join(name)).unwrap();
            assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"), "{name}");
        }
        assert!(Assessment::read(dir.path()).unwrap().is_none());
    }
}
