//! All paths that the code of a crate names, in `use`, in types and expressions, and inside macros.

use syn::{
    Item, ItemMod, ItemUse, Macro,
    visit::{self, Visit},
};

use crate::crate_tree::{CrateTree, attributes, is_test_only, leaves};

/// Per path: the module that names it, its segments, and its text.
pub(crate) fn named_paths(tree: &CrateTree) -> Vec<(usize, Vec<String>, String)> {
    let mut all = Vec::new();
    for (index, module) in tree.modules.iter().enumerate() {
        let mut names = Names { paths: Vec::new() };
        for item in &module.items {
            names.visit_item(item);
        }
        let with_text = |path: Vec<String>| {
            let text = path.join("::");
            (index, path, text)
        };
        all.extend(names.paths.into_iter().map(with_text));
    }
    all
}

struct Names {
    paths: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test_only(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    /// Modules are visited one by one.
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test_only(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.paths.extend(
                leaves(&item.tree, &[])
                    .into_iter()
                    .map(|import| import.path),
            );
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        // A single name was imported or is defined in the module itself.
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let segments = path
                .segments
                .iter()
                .map(|segment| segment.ident.to_string());
            self.paths.push(segments.collect());
        }
        visit::visit_path(self, path);
    }

    /// The arguments of a macro are tokens; paths in them are names joined by `::`.
    fn visit_macro(&mut self, mac: &'ast Macro) {
        let text = mac.tokens.to_string().replace(" :: ", "::");
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        for word in words.filter(|word| word.contains("::") && !word.starts_with("::")) {
            let segments = word.split("::").filter(|segment| !segment.is_empty());
            self.paths.push(segments.map(str::to_owned).collect());
        }
        visit::visit_macro(self, mac);
    }
}
