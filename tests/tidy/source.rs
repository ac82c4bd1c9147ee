//! Rust source as the rules see it: what a file names, declares and waits for, and what of it is test code.

use std::fs;
use std::path::Path;

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// One file.
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
        let mut source = Self {
            file: file.to_owned(),
            lines: text.lines().map(str::to_owned).collect(),
            paths: Vec::new(),
            types: Vec::new(),
            imports: Vec::new(),
            sleeps: Vec::new(),
            ignored: Vec::new(),
            test_modules: Vec::new(),
            test_lines: Vec::new(),
            in_test: false,
            loops: 0,
        };
        source.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}")));
        // Lines are looked up among all files that were parsed since.
        proc_macro2::extra::invalidate_current_thread_spans();
        source
    }

    /// Every Rust file under `folder`, by name.
    pub(crate) fn all_under(folder: &str) -> Vec<Self> {
        let mut found = Vec::new();
        collect(Path::new(folder), &mut found);
        found.sort_by(|a: &Self, b| a.file.cmp(&b.file));
        found
    }

    /// Whether the line (from 1) is in a module of tests.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test_lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }

    fn named(&self, span: Span, segments: Vec<String>) -> Named {
        Named { line: span.start().line, segments, test: self.in_test }
    }

    fn name(&mut self, span: Span, segments: Vec<String>) {
        let named = self.named(span, segments);
        self.paths.push(named);
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
            UseTree::Name(_) | UseTree::Rename(_) => {
                let (name, shown) = match tree {
                    UseTree::Rename(rename) => (rename.ident.to_string(), rename.rename.to_string()),
                    tree => (use_name(tree), use_name(tree)),
                };
                // In a group, `self` means what stands before the group.
                let shown = if shown == "self" { prefix.last().cloned().unwrap_or(shown) } else { shown };
                if name != "self" || prefix.is_empty() {
                    prefix.push(name);
                }
                self.imports.push((shown, prefix.clone()));
                self.name(tree.span(), prefix);
            }
        }
    }

    /// Paths and calls of `sleep` in the tokens of a macro, which nothing parses.
    fn tokens(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let is = |at: usize, c: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == c);
        let ident = |at: usize| match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
            _ => None,
        };
        let mut at = 0;
        while at < tokens.len() {
            let (first, mut segments) = (at, Vec::from_iter(ident(at)));
            while !segments.is_empty() && is(at + 1, ':') && is(at + 2, ':') {
                let Some(next) = ident(at + 3) else { break };
                segments.push(next);
                at += 3;
            }
            if segments.last().is_some_and(|last| last == "sleep")
                && matches!(tokens.get(at + 1), Some(TokenTree::Group(_)))
            {
                self.sleep(tokens[first].span());
            }
            if segments.len() > 1 {
                self.name(tokens[first].span(), segments);
            } else if let TokenTree::Group(group) = &tokens[at] {
                self.tokens(group.stream());
            }
            at += 1;
        }
    }

    fn sleep(&mut self, span: Span) {
        if self.loops == 0 {
            let named = self.named(span, vec!["sleep".to_owned()]);
            self.sleeps.push(named);
        }
    }

    fn repeated(&mut self, visit: impl FnOnce(&mut Self)) {
        self.loops += 1;
        visit(self);
        self.loops -= 1;
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        let before = (self.in_test, self.loops);
        self.in_test |= attributes(item).iter().any(is_test_mark);
        let declared = match item {
            Item::Fn(_) => {
                self.loops = 0;
                None
            }
            Item::Mod(module) => {
                if self.in_test && module.content.is_none() {
                    self.test_modules.push(module.ident.to_string());
                } else if self.in_test && !before.0 {
                    self.test_lines.push((module.span().start().line, module.span().end().line));
                }
                None
            }
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(ident) = declared {
            let named = self.named(ident.span(), vec![ident.to_string()]);
            self.types.push(named);
        }
        visit::visit_item(self, item);
        (self.in_test, self.loops) = before;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.name(path.span(), path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    // Who may see an item is no use of that module.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("ignore") {
            self.ignored.push(attribute.span().start().line);
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.tokens(list.tokens.clone());
        visit::visit_meta_list(self, list);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(path) = &*call.func
            && path.path.segments.last().is_some_and(|last| last.ident == "sleep")
        {
            self.sleep(call.span());
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_loop(&mut self, it: &'ast syn::ExprLoop) {
        self.repeated(|source| visit::visit_expr_loop(source, it));
    }

    fn visit_expr_while(&mut self, it: &'ast syn::ExprWhile) {
        self.repeated(|source| visit::visit_expr_while(source, it));
    }

    fn visit_expr_for_loop(&mut self, it: &'ast syn::ExprForLoop) {
        self.repeated(|source| visit::visit_expr_for_loop(source, it));
    }
}

fn use_name(tree: &UseTree) -> String {
    if let UseTree::Name(name) = tree { name.ident.to_string() } else { String::new() }
}

fn attributes(item: &Item) -> &[Attribute] {
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
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]`, also beside other conditions.
fn is_test_mark(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string().contains("test"))
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a readable file");
            found.push(Source::new(&path.display().to_string(), &text));
        }
    }
}
