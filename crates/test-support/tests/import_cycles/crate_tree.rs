//! The modules of a crate: which file each one is in, and what its names mean.

use std::collections::BTreeMap;

use syn::{Attribute, Item, ItemMod, UseTree};

/// One module, in a file of its own or inline in the file of its parent.
pub(crate) struct Module {
    /// The module that declares it; `None` for the root.
    parent: Option<usize>,
    /// The module whose file contains it: itself, unless it is inline.
    file: usize,
    file_name: String,
    pub(crate) items: Vec<Item>,
    children: BTreeMap<String, usize>,
    /// What `use` brings into scope: by name, the path that it stands for.
    imports: BTreeMap<String, Vec<String>>,
    /// The paths of `use path::*`.
    globs: Vec<Vec<String>>,
    /// Names of functions, types, constants and macros.
    defined: Vec<String>,
}

/// All modules of a crate; the root is number 0.
pub(crate) struct CrateTree {
    pub(crate) modules: Vec<Module>,
    /// Files of modules that exist only in tests. They are not parsed.
    test_files: Vec<String>,
}

/// Whether an item exists only in tests.
pub(crate) fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let Ok(list) = attribute.meta.require_list() else {
            return false;
        };
        let tokens = list.tokens.to_string();
        let has = |word: &str| {
            tokens
                .split(|c: char| !c.is_alphanumeric())
                .any(|w| w == word)
        };
        list.path.is_ident("cfg") && has("test") && !has("not") && !has("any")
    })
}

/// The attributes of an item that can be under `#[cfg(test)]`.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn defined_name(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// One leaf of a `use` tree.
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    /// The name in scope; `None` for `*`.
    name: Option<String>,
}

/// All leaves of a `use` tree. `self` at the end of a path stands for the path itself.
pub(crate) fn leaves(tree: &UseTree, prefix: &[String]) -> Vec<Import> {
    let with = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
    let leaf = |mut path: Vec<String>, alias: Option<String>| {
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = alias.or_else(|| path.last().cloned());
        vec![Import { path, name }]
    };
    match tree {
        UseTree::Path(tree) => leaves(&tree.tree, &with(&tree.ident)),
        UseTree::Name(tree) => leaf(with(&tree.ident), None),
        UseTree::Rename(tree) => leaf(with(&tree.ident), Some(tree.rename.to_string())),
        UseTree::Glob(_) => vec![Import {
            path: prefix.to_vec(),
            name: None,
        }],
        UseTree::Group(group) => group
            .items
            .iter()
            .flat_map(|tree| leaves(tree, prefix))
            .collect(),
    }
}

/// Where a module is: the folder for its submodules' files, and its place in the tree.
struct Place {
    folder: String,
    parent: Option<usize>,
    /// The file that contains it, for an inline module.
    inline_in: Option<usize>,
}

impl CrateTree {
    /// Parses a crate from its root file. `read` returns the text of a file, if it exists.
    ///
    /// # Panics
    /// If a file is missing or is not Rust.
    pub(crate) fn parse(root: &str, read: &dyn Fn(&str) -> Option<String>) -> CrateTree {
        let mut tree = CrateTree {
            modules: Vec::new(),
            test_files: Vec::new(),
        };
        let folder = root
            .rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let items = parse_file(root, read).unwrap_or_else(|| panic!("{root} is missing"));
        tree.add(
            root,
            items,
            Place {
                folder,
                parent: None,
                inline_in: None,
            },
            read,
        );
        tree
    }

    fn add(
        &mut self,
        file_name: &str,
        items: Vec<Item>,
        place: Place,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> usize {
        let index = self.modules.len();
        let (modules, items): (Vec<Item>, Vec<Item>) = items
            .into_iter()
            .partition(|item| matches!(item, Item::Mod(_)));
        let imports = items.iter().filter(|item| !is_test_only(attributes(item)));
        let imports = imports.filter_map(|item| match item {
            Item::Use(item) => Some(leaves(&item.tree, &[])),
            _ => None,
        });
        let (mut names, mut globs) = (BTreeMap::new(), Vec::new());
        for import in imports.flatten() {
            match import.name {
                Some(name) => _ = names.insert(name, import.path),
                None => globs.push(import.path),
            }
        }
        self.modules.push(Module {
            parent: place.parent,
            file: place.inline_in.unwrap_or(index),
            file_name: file_name.to_owned(),
            defined: items.iter().filter_map(defined_name).collect(),
            items,
            children: BTreeMap::new(),
            imports: names,
            globs,
        });
        for item in modules {
            let Item::Mod(module) = item else { continue };
            if !is_test_only(&module.attrs) {
                self.add_child(index, module, &place.folder, read);
            } else if module.content.is_none() {
                self.test_files.extend(candidates(&module, &place.folder));
            }
        }
        index
    }

    fn add_child(
        &mut self,
        parent: usize,
        module: ItemMod,
        folder: &str,
        read: &dyn Fn(&str) -> Option<String>,
    ) {
        let name = module.ident.to_string();
        let own_folder = format!("{folder}{name}/");
        let place = |inline_in| Place {
            folder: own_folder.clone(),
            parent: Some(parent),
            inline_in,
        };
        let child = if let Some((_, items)) = module.content {
            let file = self.modules[parent].file;
            let file_name = self.modules[parent].file_name.clone();
            self.add(&file_name, items, place(Some(file)), read)
        } else {
            let candidates = candidates(&module, folder);
            let parsed = candidates
                .iter()
                .find_map(|file| Some((file, parse_file(file, read)?)));
            let (file, items) = parsed.unwrap_or_else(|| panic!("none of {candidates:?} exists"));
            self.add(file, items, place(None), read)
        };
        self.modules[parent].children.entry(name).or_insert(child);
    }

    /// The module whose file contains this module.
    pub(crate) fn file_of(&self, module: usize) -> usize {
        self.modules[module].file
    }

    pub(crate) fn file_name(&self, module: usize) -> &str {
        &self.modules[module].file_name
    }

    /// Files of all modules, and where those of tests can be.
    pub(crate) fn files(&self) -> impl Iterator<Item = String> {
        let parsed = self.modules.iter().map(|module| &module.file_name);
        parsed.chain(&self.test_files).cloned()
    }

    /// Whether `module` lies below `ancestor` in the tree.
    pub(crate) fn is_submodule(&self, module: usize, ancestor: usize) -> bool {
        let mut parents =
            std::iter::successors(self.modules[module].parent, |m| self.modules[*m].parent);
        parents.any(|parent| parent == ancestor)
    }

    /// The module that defines what `path`, written in module `from`, names; the module itself if the
    /// path names one. `None` if the path leads out of the crate or starts with a local name.
    pub(crate) fn definition(&self, from: usize, path: &[String]) -> Option<usize> {
        self.resolve(from, path, &mut Vec::new())
    }

    /// `asked` holds the questions that are being answered. Imports can refer to each other in circles
    /// (`use super::*` below and `pub use child::*` above).
    fn resolve(&self, from: usize, path: &[String], asked: &mut Vec<Question>) -> Option<usize> {
        let mut module = from;
        let mut rest = path;
        while let Some((first, tail)) = rest.split_first() {
            match first.as_str() {
                "crate" => module = 0,
                "self" => {}
                "super" => module = self.modules[module].parent?,
                name => return self.lookup(module, name, tail, asked),
            }
            rest = tail;
        }
        Some(module)
    }

    /// Finds `name` in a module, and `tail` in what it stands for.
    fn lookup(
        &self,
        module: usize,
        name: &str,
        tail: &[String],
        asked: &mut Vec<Question>,
    ) -> Option<usize> {
        let question = (module, name.to_owned(), tail.to_vec());
        if asked.contains(&question) {
            return None;
        }
        asked.push(question);
        let here = &self.modules[module];
        if let Some(child) = here.children.get(name) {
            return match tail.split_first() {
                // If the tree does not contain the rest (an item made by a macro), the child has it.
                Some((next, tail)) => self.lookup(*child, next, tail, asked).or(Some(*child)),
                None => Some(*child),
            };
        }
        if here.defined.iter().any(|defined| defined == name) {
            return Some(module);
        }
        if let Some(path) = here.imports.get(name) {
            return self.resolve(module, &[path, tail].concat(), asked);
        }
        here.globs.iter().find_map(|glob| {
            let target = self.resolve(module, glob, asked)?;
            self.lookup(target, name, tail, asked)
        })
    }
}

/// A name in a module, and the rest of the path behind it.
type Question = (usize, String, Vec<String>);

fn parse_file(file: &str, read: &dyn Fn(&str) -> Option<String>) -> Option<Vec<Item>> {
    let text = read(file)?;
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    Some(parsed.items)
}

/// The files that can contain a module which `folder` belongs to.
fn candidates(module: &ItemMod, folder: &str) -> Vec<String> {
    match path_attribute(&module.attrs) {
        Some(path) => vec![format!("{folder}{path}")],
        None => vec![
            format!("{folder}{}/mod.rs", module.ident),
            format!("{folder}{}.rs", module.ident),
        ],
    }
}

/// The value of `#[path = ".."]`.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| {
        let value = &attribute.meta.require_name_value().ok()?;
        let syn::Expr::Lit(literal) = &value.value else {
            return None;
        };
        let syn::Lit::Str(text) = &literal.lit else {
            return None;
        };
        value.path.is_ident("path").then(|| text.value())
    })
}
