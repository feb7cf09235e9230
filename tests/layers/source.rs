//! A crate's files, and which of them uses which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// Path of a module from the crate's root, which is empty.
pub(crate) type Module = Vec<String>;

/// What one file holds, without its tests.
#[derive(Debug, Default)]
struct Source {
    /// Documentation at its top.
    documentation: Vec<String>,
    /// Its modules that are files.
    children: BTreeSet<String>,
    /// Names that `use` brings in, and for what they stand, as written from the crate's root.
    names: BTreeMap<String, Module>,
    /// Modules whose names are all brought in.
    globs: Vec<Module>,
    /// Names that it defines.
    defined: BTreeSet<String>,
    /// Paths that its code uses, as written from the crate's root.
    paths: BTreeSet<Module>,
}

/// A crate, read.
#[derive(Debug)]
pub(crate) struct Crate {
    files: BTreeMap<Module, Source>,
}

impl Crate {
    /// Reads `lib.rs` or `main.rs` in `directory`, and all modules that are files.
    pub(crate) fn read(directory: &Path) -> Self {
        let mut files = BTreeMap::new();
        let root = ["lib.rs", "main.rs"]
            .map(|name| directory.join(name))
            .into_iter()
            .find(|path| path.exists())
            .unwrap();
        read_file(&root, directory, &Vec::new(), &mut files);
        Self { files }
    }

    /// The modules that are files.
    pub(crate) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.files.keys()
    }

    /// The names of the files and folders that a module has.
    pub(crate) fn children(&self, module: &Module) -> impl Iterator<Item = &String> {
        self.files[module].children.iter()
    }

    /// Lines of the block of text under the heading `# Layers` of a module.
    pub(crate) fn drawing(&self, module: &Module) -> Option<Vec<String>> {
        let mut lines = self.files[module].documentation.iter();
        lines.find(|line| line.trim() == "# Layers")?;
        lines.find(|line| line.trim() == "```text")?;
        let block = lines.take_while(|line| line.trim() != "```");
        Some(block.map(|line| line.trim().to_owned()).collect())
    }

    /// The files that `module` uses, each with what it takes from there.
    pub(crate) fn used_by(&self, module: &Module) -> BTreeMap<Module, String> {
        let source = &self.files[module];
        let mut used = BTreeMap::new();
        let from_names = source.names.values().chain(&source.globs);
        for path in from_names.chain(&source.paths) {
            if let Some((file, what)) = self.resolve(path, 0)
                && file != *module
            {
                used.entry(file).or_insert(what);
            }
        }
        used
    }

    /// The file that defines what `path` stands for. Nothing for a module, which is no more than a
    /// name until something of it is used.
    fn resolve(&self, path: &[String], depth: usize) -> Option<(Module, String)> {
        let mut at = Module::new();
        let mut rest = path;
        while let [first, others @ ..] = rest {
            if !self.files.get(&at)?.children.contains(first) {
                break;
            }
            at.push(first.clone());
            rest = others;
        }
        let source = self.files.get(&at)?;
        let [name, others @ ..] = rest else {
            return None;
        };
        if source.defined.contains(name) || depth > 8 {
            return Some((at, name.clone()));
        }
        if let Some(target) = source.names.get(name) {
            let whole: Module = target.iter().chain(others).cloned().collect();
            return self.resolve(&whole, depth + 1);
        }
        let through = source.globs.iter().find_map(|glob| {
            let whole: Module = glob.iter().chain(rest).cloned().collect();
            self.resolve(&whole, depth + 1)
        });
        through.or_else(|| (!at.is_empty()).then(|| (at, name.clone())))
    }
}

fn read_file(path: &Path, folder: &Path, module: &Module, files: &mut BTreeMap<Module, Source>) {
    let text = std::fs::read_to_string(path).unwrap();
    let parsed = syn::parse_file(&text).unwrap();
    let mut source = Source {
        documentation: parsed.attrs.iter().filter_map(documentation).collect(),
        ..Source::default()
    };
    let mut reader = Reader {
        file: module,
        inner: Vec::new(),
        source: &mut source,
        code: Vec::new(),
    };
    for item in &parsed.items {
        reader.visit_item(item);
    }
    // Names are known only at the end of the file.
    let code = std::mem::take(&mut reader.code);
    for path in code {
        if let Some(target) = source.names.get(&path[0]) {
            let whole = target.iter().chain(&path[1..]).cloned().collect();
            source.paths.insert(whole);
        } else if source.children.contains(&path[0]) {
            source
                .paths
                .insert(module.iter().chain(&path).cloned().collect());
        }
    }
    for child in source.children.clone() {
        let alone = folder.join(format!("{child}.rs"));
        let inner = folder.join(&child);
        let path = if alone.exists() {
            alone
        } else {
            inner.join("mod.rs")
        };
        let below = module.iter().cloned().chain([child]).collect();
        read_file(&path, &inner, &below, files);
    }
    files.insert(module.clone(), source);
}

fn documentation(attribute: &Attribute) -> Option<String> {
    let syn::Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) if pair.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}

/// True for `#[cfg(test)]` and `#[test]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => {
            list.path.is_ident("cfg")
                && list.tokens.to_string().replace(' ', "").contains("test")
                && !list.tokens.to_string().contains("not")
        }
        meta => meta.path().is_ident("test"),
    })
}

/// Collects what a file defines and uses.
struct Reader<'a> {
    file: &'a Module,
    /// Modules inside of the file that are being read.
    inner: Module,
    source: &'a mut Source,
    /// Paths of code that begin with a name of the file.
    code: Vec<Module>,
}

impl Reader<'_> {
    /// A path as written from the crate's root, if it begins with `crate`, `self` or `super`, or
    /// with a module of the file.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let whole: Module = self.file.iter().chain(&self.inner).cloned().collect();
        let (mut base, mut rest) = match path {
            [first, rest @ ..] if first == "crate" => (Module::new(), rest),
            [first, rest @ ..] if first == "self" => (whole, rest),
            [first, ..] if first == "super" => (whole, path),
            [first, ..] if self.source.children.contains(first) => (self.file.clone(), path),
            _ => return None,
        };
        while let [first, others @ ..] = rest
            && first == "super"
        {
            base.pop();
            rest = others;
        }
        Some(base.into_iter().chain(rest.iter().cloned()).collect())
    }

    fn read_use(&mut self, tree: &UseTree, before: &mut Module) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.read_use(&path.tree, before);
                before.pop();
            }
            UseTree::Name(name) => self.bring(before, &name.ident.to_string(), None),
            UseTree::Rename(name) => {
                self.bring(
                    before,
                    &name.ident.to_string(),
                    Some(name.rename.to_string()),
                );
            }
            UseTree::Glob(_) => {
                if let Some(path) = self.absolute(before) {
                    self.source.globs.push(path);
                }
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.read_use(tree, before);
                }
            }
        }
    }

    fn bring(&mut self, before: &Module, name: &str, renamed: Option<String>) {
        let mut path = before.clone();
        if name != "self" {
            path.push(name.to_owned());
        }
        let local = renamed.or_else(|| path.last().cloned());
        if let (Some(local), Some(whole)) = (local, self.absolute(&path)) {
            if self.inner.is_empty() {
                self.source.names.insert(local, whole);
            } else {
                self.source.paths.insert(whole);
            }
        }
    }

    fn add_path(&mut self, path: Module) {
        if let Some(whole) = self.absolute(&path) {
            self.source.paths.insert(whole);
        } else if path.len() > 1 {
            self.code.push(path);
        }
    }

    fn define(&mut self, name: &syn::Ident) {
        if self.inner.is_empty() {
            self.source.defined.insert(name.to_string());
        }
    }
}

/// The attributes of an item and its name, if it has one.
fn parts(item: &Item) -> (&[Attribute], Option<&syn::Ident>) {
    match item {
        Item::Const(item) => (&item.attrs, Some(&item.ident)),
        Item::Enum(item) => (&item.attrs, Some(&item.ident)),
        Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
        Item::Impl(item) => (&item.attrs, None),
        Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
        Item::Mod(item) => (&item.attrs, None),
        Item::Static(item) => (&item.attrs, Some(&item.ident)),
        Item::Struct(item) => (&item.attrs, Some(&item.ident)),
        Item::Trait(item) => (&item.attrs, Some(&item.ident)),
        Item::Type(item) => (&item.attrs, Some(&item.ident)),
        Item::Union(item) => (&item.attrs, Some(&item.ident)),
        Item::Use(item) => (&item.attrs, None),
        _ => (&[], None),
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = parts(item);
        if is_test(attributes) {
            return;
        }
        if let Some(name) = name {
            self.define(name);
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let name = item.ident.to_string();
        match &item.content {
            None => {
                self.source.children.insert(name);
            }
            Some((_, items)) => {
                self.define(&item.ident);
                self.inner.push(name);
                for item in items {
                    self.visit_item(item);
                }
                self.inner.pop();
            }
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.read_use(&item.tree, &mut Module::new());
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        self.add_path(segments.map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        let mut found = Vec::new();
        paths_in(item.tokens.clone(), &mut found);
        for path in found {
            self.add_path(path);
        }
        visit::visit_macro(self, item);
    }
}

/// Paths in the tokens of a macro: names with `::` between them.
fn paths_in(tokens: proc_macro2::TokenStream, found: &mut Vec<Module>) {
    let mut path = Module::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            proc_macro2::TokenTree::Ident(name) => {
                if colons != 2 && !path.is_empty() {
                    found.push(std::mem::take(&mut path));
                }
                path.push(name.to_string());
                colons = 0;
            }
            proc_macro2::TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
            other => {
                found.push(std::mem::take(&mut path));
                colons = 0;
                if let proc_macro2::TokenTree::Group(group) = other {
                    paths_in(group.stream(), found);
                }
            }
        }
    }
    found.push(path);
    found.retain(|path| !path.is_empty());
}
