//! Wrong input gives one message that names the file, what was expected, and what to do.

use crate::bad_data::{Case, cases};

#[test]
fn every_mistake_has_its_message() {
    let mut count = 0;
    for Case { name, make, says } in cases() {
        let folder = tempfile::tempdir().unwrap();
        let mut source = make(folder.path());
        match name {
            "no size" => source.folder.size = 0.into(),
            "all for validation" => source.folder.validation = 1.0,
            _ => {}
        }
        let Err(error) = source.load() else {
            panic!("{name}: no error")
        };
        let message = error.to_string();
        println!(
            "{name}:\n    {}",
            message.replace(&folder.path().display().to_string(), "DATA")
        );
        for piece in says {
            assert!(
                message.contains(piece),
                "{name}: `{piece}` is not in: {message}"
            );
        }
        assert!(
            message.lines().count() == 1,
            "{name}: more than one line: {message}"
        );
        count += 1;
    }
    assert!(count >= 20, "{count} cases");
}
