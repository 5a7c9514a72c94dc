//! The manifests' files, followed: a ring whenever one of them may have changed.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use llm_operator::observe::files::has_manifest_extension;
use notify::{Event, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Watches from now on, for as long as the first value lives. It is the folders that are watched: an
/// editor that replaces a file would take a watch of the file itself along.
pub fn watch(paths: &[PathBuf]) -> Result<(impl Sized, mpsc::UnboundedReceiver<()>), notify::Error> {
    let (changes, changed) = mpsc::unbounded_channel();
    let ours = Ours::of(paths);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| ours.concerns(&event)) {
            // Nobody listens any more only when the process ends.
            let _unheard = changes.send(());
        }
    })?;
    for path in paths {
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new("")) };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok((watcher, changed))
}

/// Which files of the watched folders are ours. Others may be written at any time, our own output for
/// one. A file of the same name in another of the folders is read in vain, which does no harm.
struct Ours {
    names: BTreeSet<OsString>,
    /// Whether a folder was given: every manifest in it counts.
    folders: bool,
}

impl Ours {
    fn of(paths: &[PathBuf]) -> Self {
        let (folders, files): (Vec<&PathBuf>, Vec<&PathBuf>) = paths.iter().partition(|path| path.is_dir());
        let names = files.iter().filter_map(|path| path.file_name().map(OsString::from)).collect();
        Self { names, folders: !folders.is_empty() }
    }

    fn concerns(&self, event: &Event) -> bool {
        !event.kind.is_access() && (event.need_rescan() || event.paths.iter().any(|path| self.hold(path)))
    }

    fn hold(&self, path: &Path) -> bool {
        let Some(name) = path.file_name() else { return false };
        // A ConfigMap that is mounted changes all its files by one rename, of the link `..data`.
        name == "..data" || self.names.contains(name) || (self.folders && has_manifest_extension(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_that_are_read_count() {
        let ours = Ours::of(&["conf/gateway.yaml".into()]);
        for (name, counts) in
            [("gateway.yaml", true), ("..data", true), ("other.yaml", false), ("err.log", false)]
        {
            assert_eq!(ours.hold(&Path::new("/srv/conf").join(name)), counts, "{name}");
        }
        let ours = Ours::of(&[std::env::temp_dir()]);
        for (name, counts) in
            [("a.yaml", true), ("b.yml", true), ("c.json", true), ("err.log", false), ("yaml", false)]
        {
            assert_eq!(ours.hold(&std::env::temp_dir().join(name)), counts, "{name}");
        }
    }
}
