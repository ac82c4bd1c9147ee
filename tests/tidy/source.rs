//! Rust source as the rules see it: what a file names, declares and waits for, and what of it is test code.

use std::fs;
use std::path::PathBuf;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, Path, UseTree};

/// One file.
#[derive(Default)]
pub(crate) struct Source {
    /// Its path, as a reader of a message finds it.
    pub(crate) file: String,
    pub(crate) lines: Vec<String>,
    /// Every path that it names, the groups of `use` written out.
    pub(crate) paths: Vec<Named>,
    /// The types that it declares.
    pub(crate) types: Vec<Named>,
    /// The paths that it imports under a name: a re-export, if somebody asks for it from outside.
    pub(crate) imports: Vec<(String, Vec<String>)>,
    /// Calls of `sleep` outside a loop, and tests that are left out.
    pub(crate) sleeps: Vec<Named>,
    pub(crate) ignored: Vec<usize>,
    /// The modules that are declared for tests only, in files of their own.
    pub(crate) test_modules: Vec<String>,
    /// Lines (from 1) of the modules of tests that stand in the file.
    pub(crate) test_lines: Vec<(usize, usize)>,
    in_test: bool,
    loops: usize,
}

/// What stands at a line (from 1).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    /// Whether it is under `#[cfg(test)]`.
    pub(crate) test: bool,
}

impl Named {
    /// The path as it is written.
    pub(crate) fn text(&self) -> String {
        self.segments.join("::")
    }
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let lines = text.lines().map(str::to_owned).collect();
        let mut source = Self { file: file.to_owned(), lines, ..Self::default() };
        source.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}")));
        // Lines are looked up among all files that were parsed since.
        proc_macro2::extra::invalidate_current_thread_spans();
        source
    }

    /// Every Rust file under `folder`.
    pub(crate) fn all_under(folder: impl Into<PathBuf>) -> Vec<Self> {
        let entries = fs::read_dir(folder.into()).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
        paths.sort();
        let sources = paths.into_iter().flat_map(|path| match path.extension() {
            Some(extension) if extension == "rs" => {
                vec![Self::new(&path.display().to_string(), &fs::read_to_string(&path).expect("a readable file"))]
            }
            _ => Self::all_under(path),
        });
        sources.collect()
    }

    /// Whether the line (from 1) is in a module of tests.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }

    fn named(&self, span: Span, segments: Vec<String>) -> Named {
        Named { line: span.start().line, segments, test: self.in_test }
    }

    fn name(&mut self, span: Span, segments: Vec<String>) {
        self.paths.push(self.named(span, segments));
    }

    fn use_tree(&mut self, tree: &UseTree, mut prefix: Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.use_tree(&path.tree, prefix);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(tree, prefix.clone())),
            UseTree::Glob(glob) => {
                prefix.push("*".to_owned());
                self.name(glob.span(), prefix);
            }
            UseTree::Name(name) => self.import(&name.ident, &name.ident, prefix),
            UseTree::Rename(renamed) => self.import(&renamed.ident, &renamed.rename, prefix),
        }
    }

    fn import(&mut self, ident: &Ident, shown: &Ident, mut path: Vec<String>) {
        // In a group, `self` means what stands before the group.
        if ident != "self" || path.is_empty() {
            path.push(ident.to_string());
        }
        let shown = if shown == "self" { path.last().cloned().unwrap_or_default() } else { shown.to_string() };
        self.imports.push((shown, path.clone()));
        self.name(ident.span(), path);
    }

    /// Paths and calls of `sleep` in the tokens of a macro, whose grammar is its own.
    fn tokens(&mut self, stream: TokenStream) {
        let read = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if input.fork().call(Path::parse_mod_style).is_ok() {
                    let path = input.call(Path::parse_mod_style)?;
                    self.visit_path(&path);
                    if input.peek(syn::token::Paren) {
                        self.call(&path);
                    }
                } else if let TokenTree::Group(group) = input.parse()? {
                    self.tokens(group.stream());
                }
            }
            Ok(())
        };
        read.parse2(stream).expect("tokens that are read one by one");
    }

    fn call(&mut self, called: &Path) {
        if self.loops == 0 && called.segments.last().is_some_and(|last| last.ident == "sleep") {
            self.sleeps.push(self.named(called.span(), Vec::new()));
        }
    }
}

/// What may be for tests only by an attribute, which holds for nothing else.
macro_rules! with_attributes {
    ($($visit:ident: $node:ident),*) => {
        $(fn $visit(&mut self, node: &'ast syn::$node) {
            let before = self.in_test;
            visit::$visit(self, node);
            self.in_test = before;
        })*
    };
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        let before = (self.in_test, self.loops);
        if matches!(item, Item::Fn(_)) {
            self.loops = 0;
        }
        // Its attributes, which are visited first, may say that it is a test.
        visit::visit_item(self, item);
        match item {
            Item::Mod(module) if self.in_test && module.content.is_none() => {
                self.test_modules.push(module.ident.to_string());
            }
            Item::Mod(module) if self.in_test && !before.0 => {
                self.test_lines.push((module.span().start().line, module.span().end().line));
            }
            Item::Struct(syn::ItemStruct { ident, .. })
            | Item::Enum(syn::ItemEnum { ident, .. })
            | Item::Union(syn::ItemUnion { ident, .. })
            | Item::Trait(syn::ItemTrait { ident, .. })
            | Item::Type(syn::ItemType { ident, .. }) => {
                self.types.push(self.named(ident.span(), vec![ident.to_string()]));
            }
            _ => {}
        }
        (self.in_test, self.loops) = before;
    }

    with_attributes! {
        visit_impl_item: ImplItem, visit_trait_item: TraitItem, visit_variant: Variant, visit_field: Field,
        visit_field_value: FieldValue, visit_stmt: Stmt, visit_arm: Arm
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("ignore") {
            self.ignored.push(attribute.span().start().line);
        }
        // Also beside other conditions.
        self.in_test |= attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("test"));
        visit::visit_attribute(self, attribute);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        item.attrs.iter().for_each(|attribute| self.visit_attribute(attribute));
        self.use_tree(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if path.segments.len() > 1 {
            self.name(path.span(), path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    // Who may see an item is no use of that module.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_expr(&mut self, expression: &'ast Expr) {
        let repeats = usize::from(matches!(expression, Expr::Loop(_) | Expr::While(_) | Expr::ForLoop(_)));
        if let Expr::Call(call) = expression
            && let Expr::Path(called) = &*call.func
        {
            self.call(&called.path);
        }
        self.loops += repeats;
        visit::visit_expr(self, expression);
        self.loops -= repeats;
    }
}
