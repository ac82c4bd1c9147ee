//! Files that import each other. What a file imports is the file that declares it, re-exports followed; that a
//! file declares a module is no import, that it names something of the module is one.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;
use crate::{absolute, module, production, production_files};

/// A chain of re-exports is no longer.
const REEXPORTS_MAX: usize = 8;

/// Each circle, by the files that are in it.
pub(crate) fn circles(sources: &[Source]) -> Vec<String> {
    let files: BTreeMap<&str, &Source> = production_files(sources).map(|source| (module(source), source)).collect();
    let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (source, named) in production(sources) {
        if let Some(to) = declarer(&files, source, &named.segments, REEXPORTS_MAX)
            && to != module(source)
        {
            arrows.entry(module(source)).or_default().insert(to);
        }
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = files.keys().map(|file| (*file, reached(&arrows, file))).collect();
    let mut found = BTreeSet::new();
    for (file, below) in &reached {
        if below.contains(file) {
            let circle = below.iter().filter(|other| reached[*other].contains(file));
            found.insert(circle.copied().collect::<Vec<_>>().join(", "));
        }
    }
    found.into_iter().collect()
}

/// The files that are reached from `file` by one arrow or more.
fn reached<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, file: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = vec![file];
    while let Some(at) = open.pop() {
        open.extend(arrows.get(at).into_iter().flatten().copied().filter(|next| found.insert(*next)));
    }
    found
}

/// The file that declares what the path names; `None` when it is none of this crate.
fn declarer<'a>(
    files: &BTreeMap<&'a str, &'a Source>,
    source: &Source,
    segments: &[String],
    steps: usize,
) -> Option<&'a str> {
    let path = absolute(source, segments);
    let below = match path.first()?.as_str() {
        "crate" => path[1..].to_vec(),
        child => {
            let inside = match module(source) {
                "lib" | "main" => child.to_owned(),
                parent => format!("{parent}/{child}"),
            };
            files.get(inside.as_str())?;
            inside.split('/').map(str::to_owned).chain(path[1..].to_vec()).collect()
        }
    };
    let depth = (1..=below.len()).rev().find(|depth| files.contains_key(below[..*depth].join("/").as_str()))?;
    let (name, file) = files.get_key_value(below[..depth].join("/").as_str())?;
    let imported = below.get(depth).and_then(|next| file.imports.iter().find(|(shown, _)| shown == next));
    match imported {
        Some((_, path)) if steps > 0 => declarer(files, file, path, steps - 1).or(Some(name)),
        _ => Some(name),
    }
}
