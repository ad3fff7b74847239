//! No two modules of a crate may import each other, directly or through others.
//!
//! A module is a file. An edge leads from a file to the file that defines what it names in a `use` or
//! in a path. Re-exports are followed to the definition: where `lib.rs` says `pub use config::Config`,
//! `use crate::Config` is an edge to `config.rs`. Edges between a module and its own submodules do
//! not count, in either direction, and neither does code under `#[cfg(test)]`.

mod crate_tree;
mod cycles;
mod names;

use std::{collections::BTreeMap, fs, path::Path};

use crate_tree::CrateTree;
use cycles::{Edges, cycles};

/// All cycles of one crate root (`lib.rs`, `main.rs`), as text.
fn cycles_of(root: &str, read: &dyn Fn(&str) -> Option<String>) -> (CrateTree, Vec<String>) {
    let tree = CrateTree::parse(root, read);
    let mut edges = Edges::new();
    for (from, path, reason) in names::named_paths(&tree) {
        let Some(to) = tree.definition(from, &path) else {
            continue;
        };
        let (from, to) = (tree.file_of(from), tree.file_of(to));
        if from != to && !tree.is_submodule(from, to) && !tree.is_submodule(to, from) {
            edges.entry((from, to)).or_insert(reason);
        }
    }
    let found = cycles(&edges);
    let describe = |component: &Vec<usize>| {
        let inside =
            |(from, to): &(usize, usize)| component.contains(from) && component.contains(to);
        let lines = edges.iter().filter(|(edge, _)| inside(edge));
        let lines = lines.map(|((from, to), reason)| {
            format!(
                "    {} -> {}: {reason}",
                tree.file_name(*from),
                tree.file_name(*to)
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let found = found.iter().map(describe).collect();
    (tree, found)
}

/// The `.rs` files below a folder, relative to `base`.
fn source_files(folder: &Path, base: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder entry").path());
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(source_files(&path, base));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(base).expect("below the base");
            files.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    files.sort();
    files
}

#[test]
fn no_module_imports_itself_through_others() {
    let crates = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut problems = Vec::new();
    let mut covered = 0;
    for entry in fs::read_dir(crates).expect("the folder of all crates") {
        let source = entry.expect("a folder entry").path().join("src");
        let name = source
            .parent()
            .and_then(Path::file_name)
            .expect("a name")
            .to_string_lossy();
        if !source.is_dir() {
            continue;
        }
        let files = source_files(&source, &source);
        let is_root =
            |file: &str| file == "lib.rs" || file == "main.rs" || file.starts_with("bin/");
        let read = |file: &str| fs::read_to_string(source.join(file)).ok();
        let mut seen = Vec::new();
        for root in files.iter().filter(|file| is_root(file)) {
            let (tree, cycles) = cycles_of(root, &read);
            seen.extend(tree.files());
            let cycles = cycles.iter();
            problems.extend(cycles.map(|cycle| format!("{name}, a cycle:\n{cycle}")));
        }
        // A file that is not found would be a file that is not checked.
        let unseen = files.iter().filter(|file| !seen.contains(*file));
        problems.extend(unseen.map(|file| format!("{name}: {file} belongs to no module")));
        covered += 1;
    }
    assert!(covered >= 5, "only {covered} crates were found");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The cycles of a crate that is given as text.
fn cycles_in(files: &[(&str, &str)]) -> Vec<String> {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    cycles_of("lib.rs", &|file| {
        files.get(file).map(|text| (*text).to_owned())
    })
    .1
}

#[test]
fn a_planted_cycle_is_found() {
    let found = cycles_in(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use super::c; pub struct B(c::C);"),
        ("c/mod.rs", "mod inner; pub struct C;"),
        ("c/inner.rs", "fn f() -> super::super::a::A { todo!() }"),
        ("c.rs", ""),
    ]);
    assert!(found.is_empty(), "c/mod.rs does not import a: {found:?}");

    let found = cycles_in(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use super::c; pub struct B(c::C);"),
        ("c.rs", "pub struct C(Box<crate::a::A>);"),
    ]);
    assert_eq!(
        found,
        [
            "    a.rs -> b.rs: crate::b::B\n    b.rs -> c.rs: super::c\n    c.rs -> a.rs: crate::a::A"
        ]
    );
}

#[test]
fn cycles_through_re_exports_aliases_globs_and_macros_are_found() {
    let with_a = |a: &str| {
        let lib = "mod a; mod b; pub use b::*; pub use crate::a::{A as Renamed};";
        cycles_in(&[
            ("lib.rs", lib),
            ("a.rs", a),
            ("b.rs", "use crate::Renamed; pub struct B;"),
        ])
        .len()
    };
    assert_eq!(with_a("pub struct A;"), 0);
    for import in [
        "use crate::B;",
        "use crate::{B as Other};",
        "use crate::b::*;",
        "use super::b as other;",
        "use crate as root; fn f(_: root::B) {}",
        "fn f() { use crate::b::B; }",
        "fn f() { println!(\"{}\", crate::b::B::new()); }",
        "mod inline { use super::super::b::B; }",
        "#[cfg(not(test))] use crate::B;",
    ] {
        assert_eq!(with_a(&format!("pub struct A; {import}")), 1, "{import}");
    }
    for import in [
        "#[cfg(test)] mod tests { use crate::B; }",
        "#[cfg(test)] use crate::B;",
        "#[cfg(all(test, unix))] fn f() { crate::b::f() }",
        "use std::b::B;",
        "mod b { pub struct B; } use self::b::B;",
    ] {
        assert_eq!(with_a(&format!("pub struct A; {import}")), 0, "{import}");
    }
}

#[test]
fn a_module_may_use_its_submodules_and_they_may_use_it() {
    let found = cycles_in(&[
        ("lib.rs", "mod a; pub struct Root(a::deep::Deep);"),
        ("a.rs", "pub mod deep; pub struct A(deep::Deep);"),
        (
            "a/deep.rs",
            "use super::A; use crate::Root; pub struct Deep;",
        ),
    ]);
    assert_eq!(found, [""; 0]);
}
